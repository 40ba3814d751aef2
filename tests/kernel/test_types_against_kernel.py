# SPDX-License-Identifier: Apache-2.0
"""Programs read correct values from the running kernel's structs through the generated types.

BCC keeps memory and state, so every program has its own process: SCRIPT prints a line when attached, waits for one,
and prints the program's result.
"""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from probed.errors import HostError
from probed.loader.btf.format import Kind
from probed.loader.btf.reader import VMLINUX, Btf
from probed.loader.headers.c_names import find_names
from probed.loader.headers.syscall_numbers import number_of
from probed.loader.headers.tree import write
from probed.loader.headers.types import offsets_used, types_for

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(os.geteuid() != 0, reason="loading BPF programs needs root"),
    pytest.mark.skipif(not VMLINUX.exists(), reason="the kernel has no BTF"),
]

CHILDREN = 23
CALLS = 10_007
PROGRAM = "/bin/true"

SCRIPT = """
import json, os, sys
os.environ["BCC_KERNEL_SOURCE"] = sys.argv[1]
from bcc import BPF
text = open(sys.argv[2]).read()
try:
    bpf = BPF(text=text)
except Exception as error:
    sys.exit(f"BCC: {error}")
events = []
def keep(context, data, size):
    event = bpf["events"].event(data)
    events.append({name: value.decode() if isinstance(value, bytes) else value for name, value in
                   ((field[0], getattr(event, field[0])) for field in event._fields_)})
if "(events," in text:
    bpf["events"].open_ring_buffer(keep)
print("attached", flush=True)
sys.stdin.readline()
if "(events," in text:
    bpf.ring_buffer_consume()
counts = [each.value for each in bpf["counts"].values()] if "(counts," in text else []
print(json.dumps({"events": events, "counts": counts}))
"""

READ = """
#define READ(pointer, member) ({ __typeof__((pointer)->member) value_; \\
    bpf_probe_read_kernel(&value_, sizeof(value_), &(pointer)->member); value_; })
"""

PROCESSES = (
    READ
    + """
struct event { u64 read_start; u64 start; char file[32]; char comm[16]; u32 tgid; u32 parent; u32 read_parent;
    u32 live; u32 read_live; u32 kind; };
BPF_RINGBUF_OUTPUT(events, 64);

RAW_TRACEPOINT_PROBE(sched_process_exec)
{
    struct task_struct *task = (struct task_struct *)ctx->args[0];
    struct linux_binprm *binary = (struct linux_binprm *)ctx->args[2];
    struct task_struct *parent = READ(task, real_parent);
    struct signal_struct *signal = READ(task, signal);
    struct event *event = events.ringbuf_reserve(sizeof(*event));
    if (!event)
        return 0;
    event->kind = 0;
    event->tgid = task->tgid;
    event->parent = task->real_parent->tgid;
    event->read_parent = READ(parent, tgid);
    event->live = task->signal->live.counter;
    event->read_live = READ(signal, live.counter);
    event->start = task->start_boottime;
    event->read_start = READ(task, start_boottime);
    const char *file = READ(binary, filename);
    bpf_probe_read_kernel_str(event->file, sizeof(event->file), file);
    bpf_probe_read_kernel(&event->comm, sizeof(event->comm), &task->comm);
    events.ringbuf_submit(event, 0);
    return 0;
}

RAW_TRACEPOINT_PROBE(sched_process_exit)
{
    struct task_struct *task = (struct task_struct *)ctx->args[0];
    struct event *event = events.ringbuf_reserve(sizeof(*event));
    if (!event)
        return 0;
    __builtin_memset(event, 0, sizeof(*event));
    event->kind = 1;
    event->tgid = task->tgid;
    event->parent = task->exit_code;
    event->live = task->signal->live.counter;
    events.ringbuf_submit(event, 0);
    return 0;
}
"""
)

CALLED = (
    READ
    + """
BPF_ARRAY(counts, u64, 2);

RAW_TRACEPOINT_PROBE(sys_exit)
{
    struct pt_regs *regs = (struct pt_regs *)ctx->args[0];
    u32 read = 0, plain = 1;
    if (bpf_get_current_pid_tgid() >> 32 != CALLER)
        return 0;
    if (READ(regs, orig_ax) == __NR_getppid)
        counts.increment(read);
    if (regs->orig_ax == __NR_getppid)
        counts.increment(plain);
    return 0;
}
"""
)

CGROUP = (
    """
struct event { u64 id; u64 read_id; };
BPF_RINGBUF_OUTPUT(events, 8);
"""
    + READ
    + """
RAW_TRACEPOINT_PROBE(cgroup_mkdir)
{
    struct cgroup *cgroup = (struct cgroup *)ctx->args[0];
    struct kernfs_node *node = READ(cgroup, kn);
    struct event *event = events.ringbuf_reserve(sizeof(*event));
    if (!event)
        return 0;
    event->id = cgroup->kn->id;
    event->read_id = READ(node, id);
    events.ringbuf_submit(event, 0);
    return 0;
}
"""
)

PRIORITY = """
struct event { u32 tgid; u32 static_prio; };
BPF_RINGBUF_OUTPUT(events, 64);
RAW_TRACEPOINT_PROBE(sched_process_exec)
{
    struct task_struct *task = (struct task_struct *)ctx->args[0];
    struct event *event = events.ringbuf_reserve(sizeof(*event));
    if (!event)
        return 0;
    event->tgid = bpf_get_current_pid_tgid() >> 32;
    event->static_prio = task->static_prio;
    events.ringbuf_submit(event, 0);
    return 0;
}
"""


@pytest.fixture(scope="module")
def vmlinux() -> Btf:
    return Btf.read()


@contextmanager
def attached(source: str, btf: Btf, directory: Path) -> Iterator[Callable[[], dict[str, Any]]]:
    """Run the programs of a source; the yielded function ends them and returns their result."""
    write(directory, source, types_for(btf, source))
    (directory / "source.c").write_text(source)
    command = [sys.executable, "-c", SCRIPT, str(directory), str(directory / "source.c")]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, text=True, stdin=pipe, stdout=pipe, stderr=pipe) as child:
        assert child.stdout is not None
        started = child.stdout.readline()
        assert started == "attached\n", child.communicate()[1]
        yield lambda: dict(json.loads(child.communicate("\n", timeout=60)[0]))


def refusal(source: str, btf: Btf, directory: Path) -> str:
    """Return the compiler's message for a source that must not compile."""
    write(directory, source, types_for(btf, source))
    (directory / "source.c").write_text(source)
    command = [sys.executable, "-c", SCRIPT, str(directory), str(directory / "source.c")]
    done = subprocess.run(command, input="\n", text=True, capture_output=True, timeout=60, check=False)
    assert done.returncode == 1, done.stdout
    return done.stderr


def spawn() -> list[int]:
    """Run the program CHILDREN times; return the process numbers."""
    children = [subprocess.Popen([PROGRAM]) for _ in range(CHILDREN)]
    assert [child.wait() for child in children] == [0] * CHILDREN
    return [child.pid for child in children]


def test_members_read_both_ways_are_right_for_every_child(vmlinux: Btf, tmp_path: Path) -> None:
    before = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    with attached(PROCESSES, vmlinux, tmp_path) as finish:
        pids = spawn()
        events = finish()["events"]
    after = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    mine = [event for event in events if event["tgid"] in pids]
    execs = {event["tgid"]: event for event in mine if event["kind"] == 0}
    exits = {event["tgid"]: event for event in mine if event["kind"] == 1}
    assert (len(execs), len(exits), len(mine)) == (CHILDREN, CHILDREN, 2 * CHILDREN)
    assert {(e["parent"], e["read_parent"]) for e in execs.values()} == {(os.getpid(), os.getpid())}
    assert {(e["live"], e["read_live"]) for e in execs.values()} == {(1, 1)}
    assert {(e["file"], e["comm"]) for e in execs.values()} == {(PROGRAM, Path(PROGRAM).name)}
    assert all(before < e["start"] == e["read_start"] < after for e in execs.values())
    assert {(e["live"], e["parent"]) for e in exits.values()} == {(0, 0)}


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="orig_ax is a register of x86")
def test_the_call_number_in_the_registers_is_right_for_every_call(vmlinux: Btf, tmp_path: Path) -> None:
    source = f"#define CALLER {os.getpid()}\n{CALLED}"
    with attached(source, vmlinux, tmp_path) as finish:
        for _ in range(CALLS):
            os.getppid()
        assert finish()["counts"] == [CALLS, CALLS]


def test_the_id_of_a_new_cgroup_is_the_inode_of_its_directory(vmlinux: Btf, tmp_path: Path) -> None:
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    root = next((Path(mount[1]) for mount in mounts if mount[2] == "cgroup2"), None)
    if root is None:
        pytest.skip("cgroup2 is not mounted")
    directory = root / f"probed-test-{os.getpid()}"
    with attached(CGROUP, vmlinux, tmp_path) as finish:
        directory.mkdir()
        inode = directory.stat().st_ino
        directory.rmdir()
        events = finish()["events"]
    assert [event for event in events if event["id"] == inode] == [{"id": inode, "read_id": inode}]


def with_member_moved(btf: Btf, struct_name: str, member: str, offset: int) -> Btf:
    """Return the kernel's BTF with one member of a struct elsewhere."""
    words = btf.words[:]
    (type_id,) = btf.find(Kind.STRUCT, struct_name)
    first = btf.starts[type_id]
    for place in range(first + 3, first + 3 + 3 * (words[first + 1] & 0xFFFFFF), 3):
        end = btf.strings.index(b"\0", words[place])
        if btf.strings[words[place] : end] == member.encode():
            words[place + 2] = 8 * offset
    strings = btf.strings
    header = struct.pack("=HBBIIIII", 0xEB9F, 1, 0, 24, 0, 4 * len(words), 4 * len(words), len(strings))
    return Btf.parse(header + words.tobytes() + strings, btf.path)


def test_a_member_moved_in_the_btf_is_read_at_its_new_offset(vmlinux: Btf, tmp_path: Path) -> None:
    offsets = offsets_used(vmlinux, PRIORITY)
    tgid = offsets_used(vmlinux, "((struct task_struct *)task)->tgid")["task_struct", "tgid"]
    moved = with_member_moved(vmlinux, "task_struct", "static_prio", tgid)
    assert offsets_used(moved, PRIORITY) == offsets | {("task_struct", "static_prio"): tgid}
    with attached(PRIORITY, moved, tmp_path) as finish:
        pids = spawn()
        events = finish()["events"]
    seen = {event["tgid"]: event["static_prio"] for event in events if event["tgid"] in pids}
    assert seen == {pid: pid for pid in pids}


def test_the_member_where_the_btf_has_it_is_the_priority(vmlinux: Btf, tmp_path: Path) -> None:
    with attached(PRIORITY, vmlinux, tmp_path) as finish:
        pids = spawn()
        events = finish()["events"]
    seen = {event["tgid"]: event["static_prio"] for event in events if event["tgid"] in pids}
    nice = os.getpriority(os.PRIO_PROCESS, 0)
    assert seen == dict.fromkeys(pids, 120 + nice)


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("u32 x = task->in_iowait;", "'in_iowait' of 'struct task_struct' is a bit-field"),
        (
            "u32 x; bpf_probe_read_kernel(&x, 4, &task->in_execve);",
            "'in_execve' of 'struct task_struct' is a bit-field",
        ),
        (
            "struct tsk_struct *other = 0;",
            "the running kernel has no 'struct tsk_struct'; near names: task_struct",
        ),
        ("enum pid_tpe kind = 0;", "the running kernel has no 'enum pid_tpe'; near names: pid_type"),
        ("if (task->tgid == __NR_opnat) return 1;", "no system call 'opnat'; did you mean 'openat'?"),
        ("return task->no_such_member;", "no member named 'no_such_member' in 'struct task_struct'"),
    ],
)
def test_an_unreadable_member_is_refused_at_its_line(
    vmlinux: Btf, tmp_path: Path, statement: str, message: str
) -> None:
    source = (
        "RAW_TRACEPOINT_PROBE(sched_process_exit)\n{\n"
        "struct task_struct *task = (struct task_struct *)ctx->args[0];\n"
        f'#line 41 "mine.bpf.c"\n{statement}\nreturn 0;\n}}\n'
    )
    said = refusal(source, vmlinux, tmp_path)
    assert any(line.startswith("mine.bpf.c:41:") and message in line for line in said.splitlines()), said


def test_an_unreadable_member_in_skipped_code_is_no_error(vmlinux: Btf, tmp_path: Path) -> None:
    source = PRIORITY + "#ifdef __NR_of_a_later_kernel\nstruct of_a_later_kernel *later;\n#endif\n// in_iowait\n"
    source += "struct mine { u32 in_iowait; };\n"
    with attached(source, vmlinux, tmp_path) as finish:
        assert "events" in finish()


def test_the_kernel_has_the_raw_tracepoints_of_the_probes(vmlinux: Btf) -> None:
    wanted = {"sched_process_exec": 3, "sched_process_exit": 1, "sys_enter": 2, "sys_exit": 2}
    assert wanted.keys() <= vmlinux.raw_tracepoints()
    assert {name: vmlinux.tracepoint_arguments(name) for name in wanted}.items() >= {
        ("sys_enter", 2),
        ("sys_exit", 2),
    }
    assert vmlinux.tracepoint_arguments("sched_process_exec") == 3


def test_every_struct_of_the_kernel_can_be_read_and_written(vmlinux: Btf) -> None:
    """The reader rejects no type of a real kernel."""
    names = sorted(vmlinux.names(Kind.STRUCT))[::7]
    members = {each.name for name in names for each in vmlinux.members(vmlinux.find(Kind.STRUCT, name)[0])}
    source = "\n".join([*(f"struct {name} *p;" for name in names), *sorted(members)])
    assert len(find_names(source).tags) == len(names)
    assert types_for(vmlinux, source).count("probed_size") > len(names) // 2


def test_calls_are_numbered_as_the_kernel_numbers_them() -> None:
    assert number_of("getppid") == {"x86_64": 110, "aarch64": 173}[os.uname().machine]
    with pytest.raises(HostError):
        number_of("no_such_call")

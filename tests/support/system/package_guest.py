# SPDX-License-Identifier: Apache-2.0
"""Runs in a guest: installs the package, runs a known workload by each loader, and purges the package.

`counting_guests` puts the file into the guest's /out, where guest.sh runs the program. The program asserts nothing and
writes a record to /out/seen.json. It runs on the distribution's Python and uses nothing of probed.
"""

from __future__ import annotations

import ctypes
import json
import os
import platform
import re
import shutil
import signal
import struct
import subprocess
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

OUT = Path("/out")
PAGE = "http://127.0.0.1:9788"
NR_BPF = {"x86_64": 321, "aarch64": 280}[os.uname().machine]
BPF_PROG_GET_NEXT_ID, BPF_PROG_GET_FD_BY_ID, BPF_OBJ_GET_INFO_BY_FD = 11, 13, 15
BPF_PROG_TYPE_TRACING = 26
"""The machine's number, and enums of Linux include/uapi/linux/bpf.h."""

SECONDS_TO_GO = 30.0
"""Most seconds of a wait, for an emulated machine."""

SECONDS_TO_LOAD = 240.0
"""Most seconds of a reload with BCC, for an emulated machine."""

CONFIGURATION = Path("/etc/probed/probed.yaml")
PROBES = Path("/etc/probed/probes.d")

LIBC = ctypes.CDLL(None, use_errno=True)


def call(*command: str | Path) -> str:
    """Run a command and assert its success; return its output."""
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{command}: exit status {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def check() -> str:
    """Run `probed check --host`; try again when an emulated processor is too slow for the loader's time limit."""
    for _ in range(2):
        try:
            return call("probed", "check", "--host")
        except RuntimeError as error:
            if "loading took longer than" not in str(error):
                raise
    return call("probed", "check", "--host")


def bpf(command: int, attributes: Any) -> int:
    """Call bpf(2); return its result, -1 for an error."""
    return int(LIBC.syscall(NR_BPF, command, attributes, len(attributes)))


def program_ids() -> Iterator[int]:
    """List the ids of all BPF programs of this kernel."""
    attributes = ctypes.create_string_buffer(12)
    number = 0
    while True:
        struct.pack_into("=III", attributes, 0, number, 0, 0)
        if bpf(BPF_PROG_GET_NEXT_ID, attributes):
            return
        number = struct.unpack_from("=I", attributes, 4)[0]
        yield number


def program_info(number: int) -> bytes:
    """Return the beginning of a program's struct bpf_prog_info."""
    fd = bpf(BPF_PROG_GET_FD_BY_ID, ctypes.create_string_buffer(struct.pack("=III", number, 0, 0), 12))
    info = ctypes.create_string_buffer(216)
    bpf(BPF_OBJ_GET_INFO_BY_FD, ctypes.create_string_buffer(struct.pack("=IIQ", fd, 216, ctypes.addressof(info)), 16))
    os.close(fd)
    return info.raw


def missed_runs() -> dict[str, int]:
    """Return the missed runs of each program of probed's kind by name; systemd loads other kinds."""
    missed: dict[str, int] = {}
    for info in map(program_info, program_ids()):
        (kind,) = struct.unpack_from("=I", info)
        name, misses = struct.unpack_from("=16s", info, 64)[0], struct.unpack_from("=Q", info, 208)[0]
        if kind == BPF_PROG_TYPE_TRACING:
            name = name.rstrip(b"\0").decode()
            missed[name] = missed.get(name, 0) + misses
    return missed


def statuses() -> list[str]:
    """Return /proc/PID/status of all processes of the service."""
    group = call("systemctl", "show", "--value", "--property=ControlGroup", "probed").strip()
    pids = Path(f"/sys/fs/cgroup{group}/cgroup.procs").read_text().split()
    return [Path(f"/proc/{pid}/status").read_text() for pid in pids]


def limits() -> dict[str, str]:
    """Return limits and usage of the service's control group; files that this kernel lacks are left out."""
    group = Path("/sys/fs/cgroup" + call("systemctl", "show", "--value", "--property=ControlGroup", "probed").strip())
    names = ("cpu.weight", "memory.max", "memory.peak", "memory.events", "pids.max", "pids.peak", "pids.events")
    return {name: (group / name).read_text().strip() for name in names if (group / name).exists()}


def get(path: str) -> str:
    """Scrape the service, once the service answers."""
    return call("curl", "-sSf", "--retry", "100", "--retry-delay", "1", "--retry-all-errors", PAGE + path)


def run_workload(loader: str) -> dict[str, str]:
    """Run a loader's script in a unit; return the output and the pages before and after."""
    unit = ("systemd-run", "--quiet", "--collect", "--wait", "--pipe", "--unit=known.service")
    before = get("/metrics")
    workload = call(*unit, "--working-directory=/var/tmp", "/bin/bash", "-e", f"/out/workload-{loader}.sh")
    return {"before": before, "workload": workload, "after": get("/metrics")}


def reload_with_bcc() -> None:
    """Let BCC compile every probe, and wait until the page says so."""
    CONFIGURATION.write_text(f"{CONFIGURATION.read_text()}\nloader: bcc\n")
    call("systemctl", "reload", "probed")
    deadline = time.monotonic() + SECONDS_TO_LOAD
    while 'loader="core"' in get("/metrics"):
        if time.monotonic() > deadline:
            raise RuntimeError("the reload with BCC takes too long")
        time.sleep(0.5)


def is_settled(page: str, probe: str) -> bool:
    """Say whether a probe is up, or has failed to load."""
    failures = re.findall(rf'^probed_probe_load_failures_total{{probe="{probe}",.*}} (.*)$', page, re.MULTILINE)
    return f'probed_probe_up{{probe="{probe}"}} 1' in page or any(map(float, failures))


def page_after_lookups() -> str:
    """Run the workload `page_lookups` in units: twice without work, then with work; return the page.

    The first run brings the program into the page cache.
    """
    program = Path("/var/tmp/lookups")
    shutil.copy(OUT / "bin" / "page_lookups", program)
    counts = (OUT / "lookups").read_text().split()
    unit = ("systemd-run", "--quiet", "--collect", "--wait", "--working-directory=/var/tmp")
    for name, arguments in (("first", []), ("idle", []), ("lookups", counts)):
        call(*unit, f"--unit={name}.service", program, *arguments)
    return get("/metrics")


def cpu_stat(group: Path) -> dict[str, int]:
    """Read a control group's cpu.stat."""
    return {name: int(value) for name, value in map(str.split, (group / "cpu.stat").read_text().splitlines())}


def settled_cpu_stat(group: Path) -> dict[str, int]:
    """Read a control group's cpu.stat, once the last period of the quota is over."""
    before: dict[str, int] = {}
    while (now := cpu_stat(group)) != before:
        before = now
        time.sleep(0.2)
    return now


def use_up_a_quota() -> dict[str, Any]:
    """Use up a control group's quota 31 times; return the kernel's counts and the page."""
    root = Path("/sys/fs/cgroup")
    group = root / "quota.service"
    (root / "cgroup.subtree_control").write_text("+cpu")
    group.mkdir()
    (group / "cpu.max").write_text("5000 20000")
    with subprocess.Popen(["sh", "-c", f"echo 0 >{group}/cgroup.procs; while :; do :; done"]) as loop:
        deadline = time.monotonic() + SECONDS_TO_GO
        while cpu_stat(group)["nr_throttled"] < 31 and time.monotonic() < deadline:
            time.sleep(0.1)
        loop.kill()
    seen = {"stat": settled_cpu_stat(group), "page": get("/metrics")}
    group.rmdir()
    return seen


def page_with_sleepers() -> str:
    """Return the page while the processes of /out/sleepers sleep."""
    command: list[str | Path] = [OUT / "bin" / "sleepers", *(OUT / "sleepers").read_text().split()]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as sleepers:
        assert sleepers.stdout is not None
        sleepers.stdout.readline()
        return get("/metrics")


def run_library() -> dict[str, Any]:
    """Run the workloads that are in units of their own, or are there while the page is made."""
    return {"sleepers": page_with_sleepers(), "lookups": page_after_lookups(), "quota": use_up_a_quota()}


def page_with_stacks() -> str:
    """Let a new exporter read kernel symbols, and run the workload `call_paths`; return the page."""
    drop_ins = Path("/etc/systemd/system/probed.service.d")
    drop_ins.mkdir()
    shutil.copy(OUT / "kernel-symbols.conf", drop_ins)
    call("sysctl", "kernel.perf_event_paranoid=1", "kernel.kptr_restrict=0")
    call("systemctl", "daemon-reload")
    call("systemctl", "restart", "probed")
    get("/-/ready")
    call("/bin/bash", "-e", "/out/stacks.sh")
    page = get("/metrics")
    shutil.rmtree(drop_ins)
    return page


def run_at_functions(seen: dict[str, Any]) -> None:
    """Add the probes of /out/own and those named in /out/library to the site, run their workloads, and remove them.

    Fills "functions" as `run_workload` does, "library", and "stacks".
    """
    names = sorted(path.name for path in (OUT / "own").iterdir())
    for name in names:
        shutil.copytree(OUT / "own" / name, PROBES / name)
    shutil.copy(OUT / "bin" / "marks", "/usr/bin/marks")
    library = (OUT / "library").read_text().split()
    probes = "".join(f"  {name}:\n" for name in (*names, *library))
    CONFIGURATION.write_text(CONFIGURATION.read_text().replace("\nprobes:\n", f"\nprobes:\n{probes}"))
    call("systemctl", "reload", "probed")
    deadline = time.monotonic() + SECONDS_TO_LOAD
    while not all(is_settled(get("/metrics"), name) for name in (*names, *library)):
        if time.monotonic() > deadline:
            raise RuntimeError("the reload with probes at functions takes too long")
        time.sleep(0.5)
    seen["functions"] = run_workload("functions")
    seen["library"] = run_library()
    seen["stacks"] = page_with_stacks()
    for name in names:
        shutil.rmtree(PROBES / name)


def tail_execs() -> str:
    """Run `probed tail execs` by object beside the script /out/tail.sh; return the rows."""
    command = ["probed", "tail", "execs", "--loader", "core", "--format", "json", "--parent", "spawn-*"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as tail:
        assert tail.stderr is not None
        said = tail.stderr.readline()
        if "is attached" not in said:
            raise RuntimeError(f"{said}{tail.stderr.read()}")
        call("/bin/bash", "-e", "/out/tail.sh")
        tail.send_signal(signal.SIGINT)
        return tail.communicate()[0]


def left() -> list[str]:
    """List files and folders named after the package, without those of dpkg and systemd."""
    places = ("/etc", "/usr", "/var", "/run", "/opt", "/lib/systemd")
    found = call("find", *places, "-xdev", "-name", "*probed*", "-print").split()
    return sorted(found)


def look(seen: dict[str, Any]) -> None:
    """Install, run and purge the package; fill `seen` on the way."""
    seen["release"] = platform.release()
    seen["paranoid"] = Path("/proc/sys/kernel/perf_event_paranoid").read_text().strip()
    seen["headers"] = [str(path) for path in Path("/usr/src").glob("linux-headers*")]
    seen["files before"] = left()
    call("apt-get", "install", "--yes", "/out/probed.deb")
    seen["landing"] = get("/")
    get("/-/ready")
    seen["statuses"] = statuses()
    seen["core"] = run_workload("core")
    seen["limits"] = limits()
    seen["check"] = check()
    seen["tail"] = tail_execs()
    if Path("/out/workload-bcc.sh").exists():
        reload_with_bcc()
        seen["bcc"] = run_workload("bcc")
    run_at_functions(seen)
    seen["missed"] = missed_runs()
    call("systemctl", "stop", "probed")
    deadline = time.monotonic() + SECONDS_TO_GO
    while missed_runs() and time.monotonic() < deadline:  # the kernel frees the programs of a chain a moment later
        time.sleep(0.1)
    seen["missed after stop"] = missed_runs()
    call("apt-get", "purge", "--yes", "probed")
    seen["files after"] = left()


def main() -> None:
    """Run all steps, and write the record and the end."""
    seen: dict[str, Any] = {}
    try:
        look(seen)
        seen["end"] = ""
    except Exception:
        seen["end"] = traceback.format_exc()
    seen["journal"] = call("journalctl", "--output=short-monotonic", "--unit=probed")
    seen["kernel"] = call("dmesg", "--level=err,warn")
    (OUT / "seen.json").write_text(json.dumps(seen))


if __name__ == "__main__":
    main()

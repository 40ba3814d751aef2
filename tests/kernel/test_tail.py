# SPDX-License-Identifier: Apache-2.0
"""`probed tail`: every event is one row with the very bytes, filters hold, and nothing stays in the kernel."""

from __future__ import annotations

import fcntl
import os
import pty
import signal
import struct
import subprocess
import termios
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from probed.linux import bpf
from support.argument_lists import argument_lists, packed
from support.cgroup2 import Cgroups, run_in
from support.kernel_fixtures import Install
from support.processes import bpf_program_ids
from support.running_daemon import Daemon, command, environment, rise, run_to_its_end, site, until
from support.running_tail import CONFIGURATION, RunningTail
from support.workload_programs import fresh_letters

TailOf = Callable[..., RunningTail]

SPAWNS = 20_011
"""Their records have 11.4 MB in all: the ring of `execs` has room for them, however late the tail reads."""

CPU = 0


def exact_bytes(texts: list[str]) -> list[bytes]:
    return [text.encode("utf-8", "surrogateescape") for text in texts]


def of(rows: list[dict[str, Any]], **wanted: object) -> list[dict[str, Any]]:
    return [row for row in rows if all(row[name] == value for name, value in wanted.items())]


@pytest.fixture(params=["bcc", "core"])
def tail_of(request: pytest.FixtureRequest, objects: Path, tmp_path: Path) -> TailOf:
    """Starts tails by each loader."""
    configuration = tmp_path / "probed.yaml"
    configuration.write_text(yaml.safe_dump(site({"process": {}}, [objects])))
    return partial(RunningTail, configuration=configuration, loader=request.param)


@pytest.fixture
def spawner(install: Install, tmp_path: Path) -> tuple[Path, Path]:
    """The workload spawn_lists, and the file of its lists."""
    file = tmp_path / "lists"
    file.write_bytes(packed(argument_lists()))
    return install("spawn_lists"), file


def test_every_exec_of_a_storm_is_one_row_with_the_very_arguments(
    tail_of: TailOf, spawner: tuple[Path, Path], install: Install
) -> None:
    (program, file), spawned, lists = spawner, install("exits"), argument_lists()
    with tail_of("execs", "--parent", program.name) as tail:
        spawning = [str(each) for each in (program, file, SPAWNS, spawned)]
        process = subprocess.Popen(spawning, preexec_fn=lambda: os.sched_setaffinity(0, {CPU}))  # noqa: PLW1509
        assert process.wait() == 0
    assert "lost" not in tail.errors
    assert len(tail.rows) == SPAWNS
    assert [exact_bytes(row["args"]) for row in tail.rows] == [lists[n % 97] for n in range(SPAWNS)]
    assert {(row["comm"], row["parent"], row["ppid"], row["result"], row["path"]) for row in tail.rows} == {
        (spawned.name, program.name, process.pid, 0, str(spawned))
    }
    times = [row["time"] for row in tail.rows]
    assert times == sorted(times)
    assert len({row["pid"] for row in tail.rows}) > 1_000
    assert not any("args_cut" in row for row in tail.rows)


def test_a_failed_exec_has_path_arguments_and_errno(
    tail_of: TailOf, spawner: tuple[Path, Path], tmp_path: Path
) -> None:
    program, file = spawner
    absent, lists = tmp_path / "absent", argument_lists()
    with tail_of("execs", "--failed", "--comm", program.name) as tail:
        subprocess.run([program, file, "101", absent], check=True)
    assert [exact_bytes(row["args"]) for row in tail.rows] == [lists[n % 97] for n in range(101)]
    assert {(row["result"], row["path"]) for row in tail.rows} == {("ENOENT", str(absent))}


def test_forks_are_rows_of_execs_only_if_asked(tail_of: TailOf) -> None:
    children = ["execs", "--ppid", str(os.getpid())]
    with tail_of(*children) as execs, tail_of("--all", *children) as both:
        forking = subprocess.Popen(["sh", "-c", "(:); (:); (:); :"])
        forking.wait()
    assert [row["result"] for row in of(execs.rows, pid=forking.pid, comm="sh")] == [0]
    first, *forks = of(both.rows, pid=forking.pid, comm="sh")
    assert (first["result"], first["args"]) == (0, ["sh", "-c", "(:); (:); (:); :"])
    assert len({row["result"] for row in forks}) == 3
    assert all(row["result"] > 0 and row["args"] == [] for row in forks)


def test_arguments_of_more_than_64_kib_are_told_as_cut(tail_of: TailOf, install: Install) -> None:
    spawned = install("exits")
    with tail_of("execs", "--comm", spawned.name) as tail:
        subprocess.run([spawned, "y" * 70_001], check=True)
    (row,) = tail.rows
    assert row["args_cut"] is True
    assert sum(len(each) + 1 for each in row["args"]) == (64 << 10) + 1
    assert set(row["args"][1]) == {"y"}


def test_a_failed_open_is_found_among_many_others_by_its_errno(
    tail_of: TailOf, install: Install, tmp_path: Path
) -> None:
    opener, failing = install("fail_opens"), install("fail_opens")
    with tail_of("opens", "--failed", "--errno", "EMFILE") as tail:
        storm = subprocess.Popen([opener, "openat", "ENOENT", "200003"], cwd=tmp_path)
        subprocess.run([failing, "openat", "EMFILE", "1"], cwd=tmp_path, check=True)
        assert storm.wait() == 0
    assert [(row["comm"], row["path"]) for row in of(tail.rows, result="EMFILE")] == [(failing.name, "any")]
    assert {row["result"] for row in tail.rows} == {"EMFILE"}


def test_opens_of_each_kind_have_path_and_flags(tail_of: TailOf, install: Install, tmp_path: Path) -> None:
    opener = install("fail_opens")
    with tail_of("opens", "--comm", opener.name) as tail:
        for call, count in (("open", 101), ("openat", 103), ("openat2", 107), ("creat", 109)):
            subprocess.run([opener, call, "ENOENT", str(count)], cwd=tmp_path, check=True)
    rows = of(tail.rows, path="absent/file")
    assert Counter((row["result"], row["flags"]) for row in rows) == {
        ("ENOENT", "O_RDONLY|O_NOFOLLOW"): 101 + 103 + 107,
        ("ENOENT", "O_WRONLY|O_CREAT|O_TRUNC"): 109,
    }


def test_successful_opens_are_rows_only_if_asked(tail_of: TailOf, tmp_path: Path) -> None:
    file = tmp_path / "there"
    file.touch()
    read = ["sh", "-c", f"exec 3<{file}"]
    with tail_of("opens", "--comm", "sh") as failed, tail_of("opens", "--all", "--comm", "sh") as both:
        subprocess.run(read, check=True)
    assert of(failed.rows, path=str(file)) == []
    (row,) = of(both.rows, path=str(file))
    assert isinstance(row["result"], int)
    assert row["result"] >= 3


def test_an_exit_has_lifetime_and_code_or_signal(tail_of: TailOf, install: Install) -> None:
    naps = install("naps")
    with tail_of("exits", "--comm", naps.name) as tail:
        with subprocess.Popen([naps, "1000000"]) as killed:
            killed.send_signal(signal.SIGKILL)
        subprocess.run([naps, "3"], check=True)
    assert [row["exit"] for row in tail.rows] == ["SIGKILL", 0]
    assert tail.rows[0]["pid"] == killed.pid
    assert 0.003 <= tail.rows[1]["lifetime"] < 60


def test_only_failed_exits_are_rows_if_asked(tail_of: TailOf) -> None:
    with tail_of("exits", "--failed", "--ppid", str(os.getpid()), "--comm", "sh") as tail:
        for status in (0, 3, 0, 7):
            subprocess.run(["sh", "-c", f"exit {status}"], check=False)
    assert [row["exit"] for row in tail.rows] == [3, 7]


def test_a_process_of_many_threads_ends_once(tail_of: TailOf, install: Install) -> None:
    threads = install("exit_kinds")
    with tail_of("exits", "--comm", threads.name) as tail:
        for _ in range(31):
            subprocess.run([threads, "threads", "7"], check=True)
    assert [row["exit"] for row in tail.rows] == [0] * 31


def test_the_lifetime_filter_holds(tail_of: TailOf, install: Install) -> None:
    program = install("exits")
    with tail_of("exits", "--comm", program.name, "--min-lifetime", "1h") as tail:
        subprocess.run([program], check=True)
    assert tail.rows == []


@pytest.mark.parametrize("glob", ["{start}*", "[{first}]*{end}"])
def test_a_glob_in_the_kernel_or_here_lets_the_same_rows_through(tail_of: TailOf, glob: str, install: Install) -> None:
    program, other = install("exits"), install("naps")
    name = program.name
    pattern = glob.format(start=name[:9], end=name[-7:], first=name[0])
    with tail_of("exits", "--comm", pattern) as tail:
        subprocess.run([program], check=True)
        subprocess.run([other], check=True)
    assert [row["comm"] for row in tail.rows] == [name]


def test_a_row_has_the_unit_of_the_caller(tail_of: TailOf, install: Install) -> None:
    program, unit = install("exits"), f"test-{fresh_letters()}.service"
    with Cgroups() as made:
        group = made.make(f"system.slice/{unit}/workers")
        with tail_of("execs", "--unit", "test-*.service") as tail:
            run_in(group, program)
            subprocess.run([program], check=True)
    assert [(row["unit"], row["comm"]) for row in tail.rows] == [(unit, program.name)]


def test_filters_by_ids_hold(tail_of: TailOf, install: Install) -> None:
    program = install("exits")
    with (
        tail_of("execs", "--ppid", str(os.getpid()), "--uid", "0", "--comm", program.name) as children,
        tail_of("execs", "--ppid", "1", "--comm", program.name) as none,
        tail_of("execs", "--uid", "65534", "--comm", program.name) as strangers,
    ):
        started = subprocess.Popen([program])
        started.wait()
    assert [(row["pid"], row["uid"]) for row in children.rows] == [(started.pid, 0)]
    assert none.rows == strangers.rows == []


def test_a_table_has_no_byte_that_commands_a_terminal(spawner: tuple[Path, Path], install: Install) -> None:
    (program, file), spawned = spawner, install("exits")
    with RunningTail("execs", "--parent", program.name, "--format", "table") as tail:
        subprocess.run([program, file, "97", spawned], check=True)
    head, *rows = tail.lines
    assert head.split() == ["TIME", "UNIT", "PARENT", "PPID", "PID", "UID", "COMM", "RESULT", "ARGS"]
    assert len(rows) == 97
    assert all(line.isprintable() for line in tail.lines)
    assert rows[2].endswith(
        r'odd line\x0abreak \x1b[31mred\x1b[0m "\xff\xfe not UTF-8 \x80" ünïcode back\\slash "\"" ""'
    )


@pytest.mark.parametrize("columns", [80, 200])
def test_rows_fit_the_terminal(columns: int, install: Install) -> None:
    program = install("exits")
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    tail = command("tail", "--config.file", str(CONFIGURATION), "execs", "--comm", program.name, "--count", "1")
    with subprocess.Popen(tail, stdout=follower, stderr=subprocess.PIPE, env=environment(COLUMNS="0")) as process:
        assert process.stderr is not None
        process.stderr.readline()
        subprocess.run([program, "y" * 300], check=True)
    head, row = os.read(leader, 4096).decode().splitlines()
    os.close(leader)
    os.close(follower)
    assert head.endswith("ARGS")
    assert len(row) == columns
    assert row.endswith("…")


def test_count_ends_the_tail(install: Install) -> None:
    program = install("exits")
    with RunningTail("exits", "--comm", program.name, "--count", "3") as tail:
        for _ in range(5):
            subprocess.run([program], check=True)
        assert tail.process.wait() == 0
    assert len(tail.rows) == 3


def test_time_ends_the_tail() -> None:
    status, text = run_to_its_end("tail", "--config.file", str(CONFIGURATION), "--for", "10ms", "exits")
    assert status == 0, text
    assert text.splitlines()[0].startswith("probed: 'exits' is attached")


def lives(program: int) -> bool:
    """Say whether the kernel has a BPF program of this id."""
    try:
        os.close(bpf.program_fd(program))
    except FileNotFoundError:
        return False
    return True


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_ended_tail_leaves_nothing_in_the_kernel(tail_of: TailOf, end: signal.Signals) -> None:
    with tail_of("exits") as tail:
        programs = bpf_program_ids(tail.process.pid)
        assert programs
        tail.process.send_signal(end)
        assert tail.process.wait() == (-signal.SIGKILL if end == signal.SIGKILL else 0)
    until(lambda: not any(map(lives, programs)), "the kernel to free the programs")


def test_a_daemon_beside_a_tail_counts_every_event(tail_of: TailOf, daemon: Daemon, install: Install) -> None:
    program = install("exits")
    before = daemon.scrape()
    with tail_of("exits", "--comm", program.name) as tail:
        subprocess.run([install("spawn"), "2003", program], check=True, stdout=subprocess.DEVNULL)
    after = daemon.scrape()
    assert len(tail.rows) == rise(before, after, "probed_process_execs_total", comm=program.name) == 2_003


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["nosuch"], "nosuch: no trace probe has this name; there: execs, exits, opens"),
        (["process"], "probe 'process' has metrics; only a trace probe, with columns, can be tailed"),
        (["opens", "--min-lifetime", "1ms"], "--min-lifetime does not apply: trace probe 'opens' has no column"),
        (["exits", "--errno", "ENOENT"], "--errno does not apply: trace probe 'exits' has no column 'result'"),
    ],
)
def test_a_mistake_in_the_arguments_is_told(arguments: list[str], text: str) -> None:
    status, output = run_to_its_end("tail", "--config.file", str(CONFIGURATION), *arguments)
    assert status == 1
    assert text in output

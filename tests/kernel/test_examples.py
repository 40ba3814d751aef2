# SPDX-License-Identifier: Apache-2.0
"""Twelve examples of ebpf_exporter as probes of this format: each counts a known workload, by BCC and as an object."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from support.cgroup2 import Cgroups
from support.kernel_fixtures import EXAMPLES
from support.memory_cgroup import limited_memory
from support.running_daemon import PROBES, Daemon, Page, rise, run_to_its_end, site, until
from support.running_tail import RunningTail
from support.workload_programs import fresh_letters

TIMES = 211
PYTHON = Path("/usr/bin/python3")
BESIDE = ("uprobe", "sched_trace")
"""Examples with a daemon or a tail of their own: the uprobe makes every malloc() of the machine slower."""


@pytest.fixture(scope="module", params=["bcc", "core"])
def loader(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def folder(loader: str) -> Iterator[Path]:
    """A folder with the examples that every user can read; for the loader core with objects."""
    with tempfile.TemporaryDirectory(prefix="probed-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        for source in (EXAMPLES, PROBES / "cgroups", PROBES / "include"):
            into = folder if source == EXAMPLES else folder / source.name
            shutil.copytree(source, into, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.bpf.o"))
        declaration = folder / "usdt" / "usdt.yaml"
        declaration.write_text(declaration.read_text().replace("python3.11", str(PYTHON.resolve())))
        if loader == "core":
            status, text = run_to_its_end("build", name)
            if "apt install" in text:
                pytest.skip(f"no objects: {text.strip()}")
            assert status == 0, text
        yield folder


@pytest.fixture(scope="module")
def examples(folder: Path, loader: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """One daemon with all examples that need none of their own."""
    names = sorted(path.stem for path in folder.glob("*/*.yaml") if path.stem not in BESIDE)
    probes = {**dict.fromkeys(names), "timers": {"metrics": {"probed_timer_starts_total": ADDRESS}}}
    configuration = site(probes, [folder], loader=loader)
    with Daemon(tmp_path_factory.mktemp("examples"), configuration) as running:
        yield running.wait_until_ready()


def of_port(page: Page, name: str, listener: socket.socket) -> float:
    return page.total(name, port=str(port_of(listener)))


def port_of(sock: socket.socket) -> int:
    return int(sock.getsockname()[1])


def low_port(kind: socket.SocketKind) -> socket.socket:
    """Bind a port below those that the kernel chooses: udp_drops counts the others together."""
    for port in range(20_011, 32_768):
        sock = socket.socket(socket.AF_INET, kind)
        with suppress(OSError):
            sock.bind(("127.0.0.1", port))
            return sock
        sock.close()
    raise AssertionError("no port below 32,768 is free")


def wait_for_count(count: Callable[[], float], expected: float) -> None:
    """Wait until the softirqs have handled what was sent: a busy kernel leaves a packet to ksoftirqd."""
    until(lambda: count() >= expected, f"a count of {expected:g}")
    assert count() == expected


def run_python(text: str, *arguments: object) -> None:
    """Run a text in a Python of its own, without the modules of a site."""
    subprocess.run([PYTHON, "-S", "-c", text, *map(str, arguments)], check=True)


def test_accept_latency_has_each_accepted_connection(examples: Daemon) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        for _ in range(TIMES):
            with socket.create_connection(listener.getsockname()), listener.accept()[0]:
                pass
        page = examples.scrape()
        assert of_port(page, "probed_accept_latency_seconds_count", listener) == TIMES
        assert page.value("probed_accept_latency_seconds_sum", port=str(port_of(listener))) > 0


IN_A_GROUP = """
import os, sys
def leave_after(work):
    inside, outside = (os.open(path + "/cgroup.procs", os.O_WRONLY) for path in sys.argv[1:3])
    os.write(inside, b"0")
    work(int(sys.argv[3]))
    os.write(outside, b"0")
"""

MIGRATES = """
def migrate(times):
    for _ in range(times):
        os.sched_setaffinity(0, there)
        os.sched_setaffinity(0, here)
here, there = ({cpu} for cpu in sorted(os.sched_getaffinity(0))[:2])
os.sched_setaffinity(0, here)
leave_after(migrate)
"""


two_cpus = pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="threads migrate between two CPUs")


@two_cpus
def test_migrations_of_a_unit_are_exact(examples: Daemon) -> None:
    with Cgroups() as cgroups:
        name = f"{fresh_letters()}.service"
        run_python(IN_A_GROUP + MIGRATES, cgroups.make(name), cgroups.root, TIMES)
        assert examples.scrape().value("probed_migrations_total", unit=name) == 2 * TIMES


DEPTH = 13
"""A depth that no other control group of the machine has."""


def test_locks_of_statistics_are_exact_by_depth(examples: Daemon) -> None:
    with Cgroups() as cgroups:
        group = cgroups.make("/".join([fresh_letters(), *"abcdefghijkl"]))
        for _ in range(TIMES):
            (group / "cpu.stat").read_text()
        page = examples.scrape()
    locked = page.by("yield", "probed_cgroup_rstat_locked_total", level=str(DEPTH))
    assert locked["no"] == TIMES
    assert page.value("probed_cgroup_rstat_lock_hold_seconds_count", level=str(DEPTH)) == sum(locked.values())


@pytest.mark.parametrize(
    ("version", "family", "address"), [("ipv4", socket.AF_INET, "127.0.0.1"), ("ipv6", socket.AF_INET6, "::1")]
)
def test_dropped_packets_have_protocol_port_and_reason(
    examples: Daemon, version: str, family: socket.AddressFamily, address: str
) -> None:
    """The sender has its own port before the other one is free: it would get the packets itself."""
    with socket.socket(family, socket.SOCK_DGRAM) as sender, socket.socket(family, socket.SOCK_DGRAM) as closed:
        sender.bind((address, 0))
        closed.bind((address, 0))
        port = port_of(closed)
        closed.close()
        for _ in range(TIMES):
            sender.sendto(b"", (address, port))
    labels = {"eth_proto": version, "ip_proto": "udp", "port": str(port), "reason": "SKB_DROP_REASON_NO_SOCKET"}
    wait_for_count(lambda: examples.scrape().value("probed_kfree_skb_total", **labels), TIMES)


def softirqs() -> Counter[tuple[str, str]]:
    """Return the kernel's own counts by CPU and vector. Source: proc(5), /proc/softirqs."""
    cpus, *rows = Path("/proc/softirqs").read_text().splitlines()
    numbers = [cpu.removeprefix("CPU") for cpu in cpus.split()]
    return Counter(
        {
            (cpu, row.split(":")[0].strip().lower()): int(count)
            for row in rows
            for cpu, count in zip(numbers, row.split()[1:], strict=True)
        }
    )


def test_softirqs_lie_between_two_readings_of_the_kernels_own_counts(examples: Daemon) -> None:
    """No workload decides the number of softirqs, so the rise of a page is held against /proc/softirqs around it."""
    outer, first, inner = softirqs(), examples.scrape(), softirqs()
    with socket.create_server(("127.0.0.1", 0), backlog=TIMES) as listener:
        for _ in range(TIMES):
            with socket.create_connection(listener.getsockname()):
                pass
    inner_end, last, outer_end = softirqs(), examples.scrape(), softirqs()
    for cpu, vector in outer:
        counted = rise(first, last, "probed_softirqs_started_total", cpu=cpu, vector=vector)
        least, most = (
            after[cpu, vector] - before[cpu, vector] for before, after in ((inner, inner_end), (outer, outer_end))
        )
        assert least <= counted <= most, (cpu, vector)
    assert rise(first, last, "probed_softirqs_started_total", vector="net_rx") >= TIMES


SHRINKS = """
import sys
folder, *groups = sys.argv[1:]
for group in groups:
    with open(group + "/cgroup.procs", "w") as processes:
        processes.write("0")
for number in range(67):
    with open(f"{folder}/{number}", "wb") as file:
        file.write(bytes(1 << 20))
"""


def test_buckets_of_shrinkings_and_their_count_agree(examples: Daemon, tmp_path: Path) -> None:
    """The kernel decides how often it calls its shrinkers; exact is the agreement of buckets and count."""
    name = "probed_shrink_seconds"
    before = examples.scrape()
    with Cgroups() as cgroups, limited_memory(cgroups.make(fresh_letters()), 16 << 20) as groups:
        run_python(SHRINKS, tmp_path, *groups)
    page = examples.scrape()
    buckets = [page.value(f"{name}_bucket", le=le) for le in page.by("le", f"{name}_bucket")]
    assert all(below <= above for below, above in pairwise(buckets))
    assert buckets[-1] == page.value(f"{name}_count") > before.value(f"{name}_count")
    assert page.value(f"{name}_sum") > before.value(f"{name}_sum")


def test_a_full_backlog_has_a_value_for_each_length(examples: Daemon) -> None:
    """Without accept(2) the queue grows by one connection at a time: lengths 1 to TIMES."""
    with ExitStack() as stack, socket.create_server(("127.0.0.1", 0), backlog=TIMES) as listener:
        for _ in range(TIMES):
            stack.enter_context(socket.create_connection(listener.getsockname()))
        page = examples.scrape()
        port = str(port_of(listener))
        assert page.value("probed_tcp_backlog_sum", port=port) == TIMES * (TIMES + 1) / 2
        lengths = page.by("le", "probed_tcp_backlog_bucket", port=port)
        assert [lengths[f"{le}.0"] for le in (50, 100, 150, 200, 250)] == [50, 100, 150, 200, TIMES]


ADDRESS = {"add_labels": {"address": {"field": "key", "decoder": "hex"}}}
"""The function's address beside the name: whether the exporter may read names depends on the host's settings."""


def address_of(function: str) -> str:
    found = re.search(rf"^([0-9a-f]+) t {function}$", Path("/proc/kallsyms").read_text(), re.MULTILINE)
    assert found, f"no function {function}"
    return hex(int(found[1], 16))


def first_fragment(source: bytes, number: int) -> bytes:
    """Return the first fragment of a datagram that never comes whole; the kernel adds the checksum.

    The kernel itself numbers a datagram 0, and perhaps as another one. Source: raw(7).
    """
    return b"\x45\0\0\x24" + number.to_bytes(2) + b"\x20\0\x40\x11\0\0" + source + LOOPBACK + bytes(16)


LOOPBACK = socket.inet_aton("127.0.0.1")


def test_timers_are_exact_by_function(examples: Daemon) -> None:
    """Each datagram that lacks fragments starts a timer, after which the kernel gives the datagram up.

    The source is a new one, because the datagrams of an earlier test may still wait.
    """
    expire, source = address_of("ip_expire"), LOOPBACK[:1] + os.urandom(2) + LOOPBACK[-1:]
    before = examples.scrape()
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as sender:
        for number in range(1, TIMES + 1):
            sender.sendto(first_fragment(source, number), ("127.0.0.1", 0))
    wait_for_count(lambda: rise(before, examples.scrape(), "probed_timer_starts_total", address=expire), TIMES)


def test_datagrams_beyond_a_full_queue_are_exact_by_port(examples: Daemon) -> None:
    with low_port(socket.SOCK_DGRAM) as receiver, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        for _ in range(TIMES):
            sender.sendto(b"", receiver.getsockname())
        received = 0

        def dropped_or_received() -> float:
            nonlocal received
            with suppress(BlockingIOError):
                while True:
                    receiver.recv(1, socket.MSG_DONTWAIT)
                    received += 1
            return of_port(examples.scrape(), "probed_udp_queue_drops_total", receiver) + received

        wait_for_count(dropped_or_received, TIMES)
        assert received < TIMES


IMPORTS = """
import sys
for _ in range(int(sys.argv[2])):
    try:
        __import__(sys.argv[1])
    except ImportError:
        pass
"""


def test_imports_are_exact_by_module(examples: Daemon) -> None:
    module = fresh_letters()
    run_python(IMPORTS, module, TIMES)
    assert examples.scrape().value("probed_python_module_imports_total", module=module) == TIMES


MALLOCS = """
import ctypes
library = ctypes.CDLL("libc.so.6")
library.malloc.restype = ctypes.c_void_p
library.free.argtypes = [ctypes.c_void_p]
def allocate(times):
    for _ in range(times):
        library.free(library.malloc(8))
leave_after(allocate)
"""


def test_calls_of_malloc_are_exact_by_unit(folder: Path, loader: str, tmp_path: Path) -> None:
    probes = site({"uprobe": None, "cgroups": None}, [folder], loader=loader)
    with Daemon(tmp_path, probes) as daemon, Cgroups() as cgroups:
        daemon.wait_until_ready()
        name = f"{fresh_letters()}.service"
        run_python(IN_A_GROUP + MALLOCS, cgroups.make(name), cgroups.root, TIMES)
        assert daemon.scrape().value("probed_malloc_calls_total", unit=name) == TIMES


SLEEPS = """
import os, sys, time
here, there = ({cpu} for cpu in sorted(os.sched_getaffinity(0))[:2])
os.sched_setaffinity(0, here)
print(*there, flush=True)
sys.stdin.readline()
for _ in range(int(sys.argv[1])):
    time.sleep(0.0001)
for _ in range(int(sys.argv[2])):
    os.sched_setaffinity(0, there)
    os.sched_setaffinity(0, here)
"""


MOVES = 53
ASLEEP = 0x2001
"""The state of a thread in clock_nanosleep(2): TASK_INTERRUPTIBLE and TASK_FREEZABLE of include/linux/sched.h."""


@two_cpus
def test_a_trace_has_each_sleep_and_each_migration(folder: Path, loader: str, tmp_path: Path) -> None:
    configuration = tmp_path / "site.yaml"
    configuration.write_text(yaml.safe_dump(site({"cgroups": None}, [folder])))
    command = [sys.executable, "-S", "-c", SLEEPS, str(TIMES), str(MOVES)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as sleeper:
        assert sleeper.stdin
        assert sleeper.stdout
        there = int(sleeper.stdout.readline())
        options = ("--pid", str(sleeper.pid))
        with RunningTail("sched_trace", *options, configuration=configuration, loader=loader) as tail:
            sleeper.stdin.close()
            sleeper.wait()
    states = Counter(row["state"] for row in tail.rows if row["kind"] == "switch")
    moves = Counter(row["cpu"] for row in tail.rows if row["kind"] == "migrate")
    assert (states[ASLEEP], moves[there]) == (TIMES, MOVES)

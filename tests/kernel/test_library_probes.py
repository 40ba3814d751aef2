# SPDX-License-Identifier: Apache-2.0
"""The probes that are off by default, all in one daemon: each counts a known workload."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from probed.ipc.attach_points import AttachPoint
from probed.loader.btf.reader import VMLINUX, Btf
from probed.loader.common.attachment import function_refusal
from support.cgroup2 import Cgroups, run_in, start_in
from support.cpu_quota import Throttling, limited_cpu
from support.kernel_fixtures import Install
from support.loop_device import loop_device
from support.memory_cgroup import limited_memory
from support.running_daemon import LIBRARY, Daemon, Page, rise, site, until


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """One daemon with all these probes, and `cgroups` for the names of units."""
    probes = dict.fromkeys(["cgroups", *LIBRARY])
    with Daemon(tmp_path_factory.mktemp("library"), site(probes)) as running:
        yield running.wait_until_ready()


@pytest.fixture(scope="module")
def takes_fentry() -> bool:
    """Whether this kernel runs programs at functions: the guests of tests/system/test_kernels.py do."""
    return not function_refusal(Btf.read(VMLINUX), AttachPoint("fentry", "vfs_read"))


def test_all_probes_run_together(library: Daemon, takes_fentry: bool) -> None:
    down = [] if takes_fentry else ["file_system"]
    page = library.scrape()
    assert page.by("probe", "probed_probe_up").keys() == {"cgroups", *LIBRARY} - {*down}
    failures = page.by("probe", "probed_probe_load_failures_total", reason="attach_point")
    assert list(failures) == down
    assert ("takes no program at fentry 'vfs_read'" in library.log()) == bool(down)


def test_hello_counts_programs(library: Daemon, install: Install) -> None:
    program = install("naps")
    for _ in range(23):
        subprocess.run([program], check=True)
    assert library.scrape().total("probed_hello_total", comm=program.name) == 23


SIGNALS = "probed_signals_total"


def test_signals_have_sender_target_and_result(library: Daemon, install: Install) -> None:
    program = install("signals")
    unit = f"{program.name}.service"
    with Cgroups() as cgroups, start_in(cgroups.make(f"system.slice/{unit}"), program, "101", "53", "31"):
        pass
    page = library.scrape()
    own = {"comm": program.name, "target": program.name, "origin": "user", "unit": unit}
    assert page.by("result", SIGNALS, signal="SIGUSR1", **own) == {"delivered": 101}
    assert page.by("result", SIGNALS, signal="SIGUSR2", **own) == {"ignored": 53}
    assert page.by("result", SIGNALS, signal="SIGHUP", **own) == {"delivered": 1, "already_pending": 31}
    assert page.by("signal", SIGNALS, comm=program.name, origin="kernel") == {"SIGCHLD": 1}


def softirqs(vector: str) -> int:
    """Return the kernel's count of a softirq's runs. Source: proc_softirqs(5)."""
    rows = (line.split() for line in Path("/proc/softirqs").read_text().splitlines())
    return next(sum(map(int, row[1:])) for row in rows if row[0] == f"{vector}:")


def test_softirqs_are_those_of_the_kernel(library: Daemon) -> None:
    count = "probed_softirq_seconds_count"
    outside = softirqs("NET_RX")
    before = library.scrape()
    inside = softirqs("NET_RX")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        for _ in range(1_009):
            receiver.sendto(b"x", receiver.getsockname())
    inside = softirqs("NET_RX") - inside
    assert inside > 0
    until(lambda: rise(before, library.scrape(), count, vector="net_rx") >= inside, "the runs before are counted")
    after = library.scrape()
    running = os.cpu_count() or 1
    assert rise(before, after, count, vector="net_rx") <= softirqs("NET_RX") - outside + running


def test_each_wait_for_a_cpu_is_one(library: Daemon, install: Install) -> None:
    program = install("naps")
    unit = f"{program.name}.service"
    before = library.scrape()
    with Cgroups() as cgroups:
        process = start_in(cgroups.make(f"system.slice/{unit}"), program, "503")
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    after = library.scrape()
    waits = after.value("probed_run_queue_wait_seconds_count", unit=unit)
    missed = rise(before, after, "probed_probe_missed_runs_total", probe="run_queue")
    assert process.returncode == 0
    assert 503 - missed <= waits <= usage.ru_nvcsw + usage.ru_nivcsw + 1
    assert after.value("probed_run_queue_wait_seconds_bucket", unit=unit, le="+Inf") == waits
    assert after.emitted("run_queue") == after.accounted("run_queue")
    assert after.lost("run_queue") == 0


BYTES, DEVICE, QUEUE = (
    f"probed_block_io_{name}" for name in ("bytes_total", "device_seconds_count", "queue_seconds_count")
)


def transfer(*operands: str) -> None:
    subprocess.run(["dd", *operands, "bs=4096"], check=True, capture_output=True)


def test_block_io_counts_requests_and_bytes(library: Daemon, tmp_path: Path) -> None:
    with loop_device(tmp_path, 1 << 20) as name:
        before = library.scrape()
        transfer("if=/dev/zero", f"of=/dev/{name}", "count=101", "oflag=direct", "conv=notrunc")
        transfer(f"if=/dev/{name}", "of=/dev/null", "count=53", "iflag=direct")
        after = library.scrape()
    for operation, requests in (("write", 101), ("read", 53)):
        assert rise(before, after, BYTES, device=name, operation=operation) == requests * 4096
        for metric in (DEVICE, QUEUE):
            assert rise(before, after, metric, device=name, operation=operation) == requests


def test_oom_kills_have_victim_and_cause(library: Daemon, install: Install) -> None:
    program = install("hog")
    unit = f"{program.name}.service"
    script = 'for group; do echo 0 >"$group/cgroup.procs"; done; exec "$0" 64'
    with Cgroups() as cgroups, limited_memory(cgroups.make(f"system.slice/{unit}"), 16 << 20) as groups:
        for _ in range(3):
            done = subprocess.run(["sh", "-c", script, program, *groups], check=False)
            assert done.returncode == -signal.SIGKILL
    page = library.scrape()
    assert page.by("unit", "probed_oom_kills_total", comm=program.name, cause=unit) == {unit: 3}


DROP_PACKETS = """
import pathlib
import socket
import time


def dropped():
    return dict(map(str.split, pathlib.Path("/proc/net/snmp6").open()))["Udp6NoPorts"]


with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as free:
    free.bind(("::1", 0))
    closed = free.getsockname()
with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sender:
    for _ in range(101):
        sender.sendto(b"x", closed)
    while int(dropped()) < 101:
        time.sleep(0.01)
"""
"""The end waits for the kernel's own count, because a busy kernel leaves a packet to ksoftirqd.

Source: Linux Documentation/networking/snmp_counter.rst.
"""


def test_packet_drops_have_reason_protocol_and_function(library: Daemon) -> None:
    before = library.scrape()
    subprocess.run(
        ["unshare", "--net", "sh", "-c", 'ip link set lo up; exec python3 -c "$0"', DROP_PACKETS], check=True
    )
    after = library.scrape()
    assert no_socket(after) - no_socket(before) == 101
    assert {"udpv6_rcv", "__udp6_lib_rcv", "unknown"} & after.by("function", DROPS, reason="NO_SOCKET").keys()


DROPS = "probed_packet_drops_total"


def no_socket(page: Page) -> float:
    """Return the dropped packets of IPv6 without a socket."""
    return page.total(DROPS, reason="NO_SOCKET", protocol="ipv6")


def test_bpf_calls_have_command_and_errno(library: Daemon, install: Install) -> None:
    program = install("bpf_calls")
    subprocess.run([program, "101", "53"], check=True)
    page = library.scrape()
    calls = {"BPF_MAP_CREATE": 101, "BPF_PROG_GET_FD_BY_ID": 53}
    assert page.by("command", "probed_bpf_calls_total", comm=program.name) == calls
    failures = page.by("errno", "probed_bpf_call_failures_total", comm=program.name, command="BPF_PROG_GET_FD_BY_ID")
    assert failures == {"ENOENT": 53}
    assert page.total("probed_bpf_call_failures_total", comm=program.name) == 53


TCP = """
import errno
import pathlib
import socket
import time


def retransmitted():
    names, values = (row for row in map(str.split, pathlib.Path("/proc/net/snmp").open()) if row[0] == "Tcp:")
    return int(dict(zip(names, values))["RetransSegs"])


with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as closed:
    closed.bind(("127.0.0.1", 0))
    for _ in range(101):
        with socket.create_connection(server.getsockname()), server.accept()[0]:
            pass
    for _ in range(53):
        with socket.socket() as client:
            assert client.connect_ex(closed.getsockname()) == errno.ECONNREFUSED
silent = [socket.socket() for _ in range(29)]
for each in silent:
    each.setblocking(False)
    assert each.connect_ex(("192.0.2.2", 9)) == errno.EINPROGRESS
while retransmitted() < len(silent):
    time.sleep(0.01)
for each in silent:
    each.close()
pathlib.Path("retransmitted").write_text(str(retransmitted()))
"""
"""A namespace with 101 connections, 53 to a closed port, and 29 to a neighbour that is not there.

The file has the kernel's count of retransmissions in the namespace.
Source: Linux Documentation/networking/snmp_counter.rst.
"""

LINKS = """
ip link set lo up
ip link add silent type veth
ip addr add 192.0.2.1/24 dev silent
ip link set silent up
ip neigh add 192.0.2.2 lladdr 02:00:00:00:00:01 dev silent
exec python3 -c "$0"
"""


def test_tcp_counts_connections_failures_retransmissions_and_resets(
    library: Daemon, install: Install, tmp_path: Path
) -> None:
    unit = f"{install('naps').name}.service"
    before = library.scrape()
    with Cgroups() as cgroups:
        group = cgroups.make(f"system.slice/{unit}")
        process = start_in(group, "unshare", "--net", "sh", "-e", "-c", LINKS, TCP, cwd=tmp_path)
        assert process.wait() == 0
    after = library.scrape()
    assert after.value("probed_tcp_connect_seconds_count", unit=unit) == 101
    assert after.value("probed_tcp_accepts_total", unit=unit) == 101
    failures = after.by("errno", "probed_tcp_connect_failures_total", unit=unit)
    assert failures == {"ECONNREFUSED": 53, "closed": 29}
    retransmitted = float((tmp_path / "retransmitted").read_text())
    assert after.by("state", "probed_tcp_retransmits_total", unit=unit) == {"syn_sent": retransmitted}
    assert after.value("probed_tcp_resets_received_total", unit=unit) == 53
    assert rise(before, after, "probed_tcp_resets_sent_total", unit="kernel") >= 53


def lookups(library: Daemon, program: Path, folder: Path, *counts: int) -> dict[str, dict[str, float]]:
    """Run the workload `page_lookups` in a fresh unit; return lookups and misses in the page cache by access."""
    unit = f"{program.name}-{len(counts)}.service"
    with Cgroups() as cgroups:
        run_in(cgroups.make(f"system.slice/{unit}"), program, *map(str, counts), cwd=folder)
    page = library.scrape()
    return {name: page.by("access", f"probed_page_cache_{name}_total", unit=unit) for name in ("lookups", "misses")}


@contextmanager
def file_system_on_a_device(folder: Path) -> Iterator[Path]:
    """Mount an ext4 in a file: pages of a tmpfs, which /tmp may be, never leave the page cache."""
    image, mounted = folder / "image", folder / "mounted"
    mounted.mkdir()
    with image.open("wb") as file:
        file.truncate(64 << 20)
    subprocess.run(["/sbin/mkfs.ext4", "-q", image], check=True)
    subprocess.run(["mount", "-o", "loop", image, mounted], check=True)
    try:
        yield mounted
    finally:
        subprocess.run(["umount", mounted], check=True)


def test_page_cache_counts_lookups_and_misses(library: Daemon, install: Install, tmp_path: Path) -> None:
    """The program itself, libraries included, is in the cache, and its start looks up some pages."""
    program = install("page_lookups")
    with file_system_on_a_device(tmp_path) as folder:
        lookups(library, program, folder, 0, 0, 0)
        start = lookups(library, program, folder)
        counted = lookups(library, program, folder, 101, 59, 53, 29)
    assert start["misses"] == {}
    assert counted["misses"] == {"read": 101, "fault": 29}
    rises = {access: count - start["lookups"].get(access, 0) for access, count in counted["lookups"].items()}
    assert rises == {"read": 3 * 101 + 59, "fault": 53 + 29}


@contextmanager
def file_system_in_memory(folder: Path) -> Iterator[Path]:
    """Mount a ramfs on a folder."""
    subprocess.run(["mount", "-t", "ramfs", "none", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


def test_file_system_counts_calls_by_operation(
    library: Daemon, install: Install, tmp_path: Path, takes_fentry: bool
) -> None:
    """Nothing else uses a ramfs; a kernel without fentry counts no call."""
    before = library.scrape()
    with file_system_in_memory(tmp_path) as folder:
        subprocess.run([install("file_calls"), folder, "13", "101", "53"], check=True)
    after = library.scrape()
    for operation, calls in (("open", 13), ("read", 101), ("write", 53)):
        labels = {"file_system": "ramfs", "operation": operation}
        assert rise(before, after, "probed_file_system_seconds_count", **labels) == (calls if takes_fentry else 0)


LOOPS = 3
"""Processes that use up a quota, more than most test machines have CPUs."""


def throttling(before: Page, after: Page, unit: str) -> Throttling:
    """Return the probe's counts of a unit."""
    names = ("periods", "throttled_periods", "throttled_seconds")
    periods, throttled, seconds = (
        rise(before, after, f"probed_cpu_throttling_{name}_total", unit=unit) for name in names
    )
    return Throttling(int(periods), int(throttled), round(seconds, 9))


def test_cpu_throttling_counts_as_the_kernel_does(library: Daemon, install: Install) -> None:
    """Hierarchies of cgroup v1 have one unit for all groups; only this test has a quota there."""
    name = f"{install('naps').name}.service"
    before = library.scrape()
    with Cgroups() as cgroups, limited_cpu(cgroups.make(f"system.slice/{name}"), 5_000, 20_000) as quota:
        join = 'for group; do echo 0 >"$group/cgroup.procs"; done; while :; do :; done'
        loops = [subprocess.Popen(["sh", "-c", join, "sh", *quota.groups]) for _ in range(LOOPS)]
        until(lambda: quota.read().throttled_periods >= 31, "31 throttled periods")
        for loop in loops:
            loop.kill()
            loop.wait()
        unit = name if quota.is_of_cgroup2 else "unknown"
        until(lambda: throttling(before, library.scrape(), unit) == quota.read(), "the same counts as the kernel's")


def test_the_sums_close(library: Daemon) -> None:
    page = library.scrape()
    for probe in LIBRARY:
        assert page.emitted(probe) == page.accounted(probe)
        assert page.lost(probe) == 0

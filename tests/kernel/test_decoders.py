# SPDX-License-Identifier: Apache-2.0
"""Stacks of the kernel and names of DNS queries as label text: a series for each text, with exact counts."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.kernel_fixtures import OWN_PROBES, Install
from support.running_daemon import PROBES, Daemon, run_to_its_end, site, stopped

FOLDERS = {"call_paths": OWN_PROBES, "dns_queries": OWN_PROBES, "packet_drop_stacks": PROBES}


def with_kallsyms(folder: Path) -> tuple[str, ...]:
    """Return the command before a daemon that gets a copy of root's /proc/kallsyms, in which addresses are told."""
    copy = folder / "kallsyms"
    copy.write_bytes(Path("/proc/kallsyms").read_bytes())
    return "unshare", "--mount", "sh", "-ec", f'mount --bind "{copy}" /proc/kallsyms; exec "$@"', "sh"


def built(folder: Path, loader: str) -> Path:
    """Return a folder with the probes; for the loader core with objects."""
    without_objects = shutil.ignore_patterns("*.bpf.o")
    for name, parent in {"include": PROBES, **FOLDERS}.items():
        shutil.copytree(parent / name, folder / name, ignore=without_objects)
    if loader == "core":
        status, text = run_to_its_end("build", str(folder))
        if "apt install" in text:
            pytest.skip(f"no objects: {text.strip()}")
        assert status == 0, text
    return folder


@pytest.fixture(scope="module", params=["bcc", "core"])
def daemon(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon with all these probes, by each loader."""
    folder = tmp_path_factory.mktemp(request.param)
    configuration = site(dict.fromkeys(FOLDERS), [built(folder / "probes", request.param)], loader=request.param)
    with Daemon(folder, configuration, under=with_kallsyms(folder)) as running:
        yield running.wait_until_ready()


BY_CALL, BY_FILE = 101, 97


@pytest.mark.parametrize("metric", ["probed_renames_total", "probed_mapped_renames_total"])
def test_each_call_path_is_a_series_with_its_own_count(daemon: Daemon, install: Install, metric: str) -> None:
    program = install("call_paths")
    subprocess.run([program, str(BY_CALL), str(BY_FILE)], check=True)
    counts = daemon.scrape().by("stack", metric, comm=program.name)
    assert counts.pop(next(stack for stack in counts if "execve" in stack)) == 1
    assert sorted(counts.values()) == [BY_FILE, BY_CALL]
    for stack, count in counts.items():
        outermost, *_, innermost = stack.split(";")
        assert "entry_SYSCALL_64" in outermost or outermost.startswith("el0")
        assert innermost == "__set_task_comm"
        assert ("vfs_write" in stack) == (count == BY_FILE)
        assert ("prctl" in stack) == (count == BY_CALL)


def test_stacks_without_room_in_the_ring_are_counted(daemon: Daemon, install: Install, tmp_path: Path) -> None:
    opens, names = 10_007, 499
    records_before = daemon.scrape().value("probed_ring_records_total", probe="call_paths")
    with stopped(daemon.exporter):
        subprocess.run([install("takes_turns"), str(opens), str(names), "path"], cwd=tmp_path, check=True)
    page = daemon.scrape()
    expected = {f"path-{number}": opens // names + (number < opens % names) for number in range(names)}
    for metric in ("probed_renames_total", "probed_mapped_renames_total"):
        counts = page.by("comm", metric)
        assert {name: counts.get(name) for name in expected} == expected
    assert page.lost("call_paths") == 0
    assert page.value("probed_ring_records_total", probe="call_paths") - records_before < names


SENDS = """
import socket, sys, time

def refused():
    with open("/proc/net/snmp") as four, open("/proc/net/snmp6") as six:
        names, values = (line.split() for line in four if line.startswith("Udp:"))
        return int(dict(zip(names, values))["NoPorts"]) + int(dict(map(str.split, six))["Udp6NoPorts"])

sent = 0
for each in sys.stdin:
    times, family, address, port, message = each.split()
    sent += int(times)
    with socket.socket(int(family), socket.SOCK_DGRAM) as client:
        for _ in range(int(times)):
            client.sendto(bytes.fromhex(message), (address, int(port)))
while refused() < sent:
    time.sleep(0.01)
"""
"""No socket waits for these datagrams. The end waits until the kernel has refused them all, as it counts itself.

A busy kernel leaves a packet to ksoftirqd. Source: Linux Documentation/networking/snmp_counter.rst.
"""


def send(*lines: tuple[int, str, int, bytes]) -> None:
    """Send datagrams on a loopback interface of its own: how many, to which address and port, the message."""
    families = {"127.0.0.1": 2, "::1": 10}
    text = "".join(f"{n} {families[to]} {to} {port} {message.hex()}\n" for n, to, port, message in lines)
    shell = 'ip link set lo up; exec python3 -c "$0"'
    subprocess.run(["unshare", "--net", "sh", "-ec", shell, SENDS], input=text, text=True, check=True)


def query(name: bytes) -> bytes:
    """Return a DNS query of type A with a cookie. Sources: RFC 1035, section 4.1; RFC 7873."""
    header = bytes.fromhex("1d0b 0100 0001 0000 0000 0001")
    cookie = bytes.fromhex("00 0029 04d0 00000000 000c 000a 0008 24a5ac0000000001")
    return header + name + bytes.fromhex("0001 0001") + cookie


NAMES = {
    b"\7Example\4TEST\0": 101,
    b"\7example\4test\0": 97,
    b"\0": 89,
    b"\3a.b\4\xffc d\4test\0": 83,
    b"\x30" + b"n" * 48 + b"\4test\0": 79,
    b"\3www\x2c" + b"n" * 44 + b"\4test\0": 73,
    b"\3www\xc0\x0c": 71,
}


def test_dns_queries_are_counted_by_name(daemon: Daemon) -> None:
    send(*[(times, "127.0.0.1", 53, query(name)) for name, times in NAMES.items()])
    counts = daemon.scrape().by("name", "probed_dns_queries_total")
    wanted = {"example.test": 101 + 97, ".": 89, r"a\.b.\255c\032d.test": 83, "[cut]": 79, "www.[cut]": 73 + 71}
    assert {name: counts.get(name) for name in wanted} == wanted


def test_dropped_packets_are_counted_by_the_functions_that_led_there(daemon: Daemon) -> None:
    metric = "probed_packet_drop_stacks_total"
    before = daemon.scrape().by("stack", metric, reason="NO_SOCKET")
    send((101, "::1", 9, b"x"), (97, "127.0.0.1", 9, b"x"))
    after = daemon.scrape().by("stack", metric, reason="NO_SOCKET")
    rises = {stack: count - before.get(stack, 0) for stack, count in after.items()}
    assert sum(rise for stack, rise in rises.items() if ";__udp6_lib_rcv;" in stack) == 101
    assert sum(rise for stack, rise in rises.items() if ";__udp4_lib_rcv;" in stack) == 97

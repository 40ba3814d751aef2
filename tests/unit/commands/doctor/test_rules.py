# SPDX-License-Identifier: Apache-2.0
"""`probed doctor`: facts from fixture trees, rules from facts, and a report that scripts can read."""

from __future__ import annotations

import json
import resource
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from probed.client import http_config
from probed.client.http_client import Answer, Endpoint, fetch
from probed.commands import json_schemas
from probed.commands.doctor import facts
from probed.commands.doctor.facts import Clocks, Compiler, Configuration, HostFacts, Loads, Mounts, Types
from probed.commands.doctor.report import WIDTH, Check, ProbeCheck, Report, render
from probed.commands.doctor.rules import diagnose
from probed.ipc.attach_points import AttachPoint
from probed.loader.bcc.bcc_version import libraries
from probed.schema import structure
from probed.webconfig.listen_address import Address
from support.running_daemon import PROBES, ROOT, SHIPPED, site

WELL = HostFacts(
    kernel="6.1.0-18-amd64",
    machine="x86_64",
    python="3.11.2",
    user="root",
    capabilities=("CAP_BPF", "CAP_PERFMON"),
    may_load=True,
    types=Types("/sys/kernel/btf/vmlinux", 5_515_646, frozenset({"sys_enter", "sched_process_exec"})),
    headers=None,
    compiler=Compiler("0.26.0", ("libLLVM-14.so.1", "libbcc.so.0.26.0")),
    packages={"numpy": "1.24.2", "seccomp": "", "systemd": "235"},
    lockdown="none",
    sysctls={
        "kernel/perf_event_paranoid": "3",
        "kernel/unprivileged_bpf_disabled": "2",
        "kernel/bpf_stats_enabled": "0",
        "net/core/bpf_jit_enable": "1",
    },
    mounts=Mounts("/sys/fs/cgroup"),
    memlock=8 << 20,
    maps_for_bpf_only=False,
    clocks=Clocks("tsc", 0.0),
    possible_cpus=256,
    configuration=Configuration(
        "/etc/probed/probed.yaml",
        "",
        {"process": {"on_exec": AttachPoint("raw_tracepoint", "sched_process_exec")}},
        Address("127.0.0.1", 9788),
    ),
    loads=Loads({"process": None}, map_bytes={"process": 5_300_000}),
    answer=Answer(200, "ready\n"),
)
"""A machine without any deficiency."""

FAULTS: dict[str, tuple[str, str, str, HostFacts]] = {
    "another machine": ("kernel", "failure", "x86_64 and aarch64", replace(WELL, machine="riscv64")),
    "no BTF": ("btf", "failure", "CONFIG", replace(WELL, types=Types("/b", error="no file; CONFIG_DEBUG_INFO_BTF"))),
    "no BCC": (
        "bcc", "failure", "apt install",
        replace(WELL, compiler=Compiler(error="none; apt install it", needed_by=("process",))),
    ),
    "no numpy": ("python", "failure", "numpy", replace(WELL, packages={"numpy": None})),
    "no systemd module": ("python", "warning", "systemd", replace(WELL, packages={"systemd": None})),
    "no privilege": ("capabilities", "warning", "as root", replace(WELL, may_load=False, loads=None, capabilities=())),
    "lockdown": ("lockdown", "failure", "lockdown=integrity", replace(WELL, lockdown="confidentiality")),
    "no JIT": (
        "bpf_jit_enable", "warning", "bpf_jit_enable=1",
        replace(WELL, sysctls={**WELL.sysctls, "net/core/bpf_jit_enable": "0"}),
    ),
    "cgroup v1": ("cgroups", "warning", "unified", replace(WELL, mounts=Mounts(None, ("/sys/fs/cgroup/cpu",)))),
    "no cgroups": ("cgroups", "warning", "unified", replace(WELL, mounts=Mounts())),
    "too little memory": (
        "memlock", "failure", "LimitMEMLOCK", replace(WELL, loads=Loads({"process": ("memlock", "no")}))
    ),
    "an old kernel": ("map_access", "warning", "5.19", replace(WELL, maps_for_bpf_only=True)),
    "a slow clock": ("clock", "warning", "dmesg", replace(WELL, clocks=Clocks("hpet", 0.0))),
    "a mistake in the YAML": (
        "configuration", "failure", "probed.yaml:3", replace(WELL, configuration=Configuration("", "probed.yaml:3: no"))
    ),
    "a broken trace probe": (
        "evidence", "warning", "evidence: off",
        replace(WELL, configuration=replace(WELL.configuration, evidence_error="execs.yaml:3: no")),
    ),
    "a daemon that is not ready": ("daemon", "failure", "journalctl", replace(WELL, answer=Answer(503, "no probe"))),
    "a daemon with a password": ("daemon", "warning", "password", replace(WELL, answer=Answer(401, ""))),
    "something else": ("daemon", "warning", "TLS", replace(WELL, answer=Answer(0, "BadStatusLine"))),
    "perf events": (
        "perf_event_paranoid", "warning", "sysctl kernel.perf_event_paranoid=2",
        replace(
            WELL,
            configuration=replace(
                WELL.configuration, programs={"process": {"on_tick": AttachPoint("perf_event", "cpu-clock@99Hz")}}
            ),
        ),
    ),
    "large maps": (
        "map_memory", "warning", "ring.bytes", replace(WELL, loads=Loads({"process": None}, "", {"process": 300 << 20}))
    ),
    "nothing loads": ("loading", "failure", "no BTF", replace(WELL, loads=Loads({}, "no BTF"))),
}  # fmt: skip


def check(report: Report, name: str) -> Check:
    (found,) = [each for each in report.checks if each.name == name]
    return found


def probe(report: Report) -> ProbeCheck:
    (found,) = report.probes
    return found


def test_bcc_may_be_missing_where_every_probe_has_an_object() -> None:
    found = check(diagnose(replace(WELL, compiler=Compiler(error="none; apt install it"))), "bcc")
    assert (found.status, found.remedy) == ("ok", "")
    assert "no probe needs it" in found.value


def test_a_machine_on_which_nothing_is_amiss_is_ok() -> None:
    report = diagnose(WELL)
    assert (report.status, {each.status for each in report.checks}) == ("ok", {"ok"})
    assert [each.remedy for each in report.checks if each.remedy] == []
    assert render(report).endswith(": all is well")


def test_the_memory_of_the_maps_is_told_by_probe_with_the_number_of_cpus() -> None:
    both = replace(WELL, loads=Loads({}, map_bytes={"process": 5_300_000, "syscalls": 1_200_000}))
    value = check(diagnose(both), "map_memory").value
    assert value == "6.5 MB of kernel memory with 256 possible CPUs: process 5.3 MB, syscalls 1.2 MB"


@pytest.mark.parametrize(("name", "status", "remedy", "of"), FAULTS.values(), ids=FAULTS)
def test_a_deficiency_is_reported_with_its_remedy(name: str, status: str, remedy: str, of: HostFacts) -> None:
    report = diagnose(of)
    found = check(report, name)
    assert (found.status, report.status) == (status, status)
    assert remedy in found.remedy
    assert all(other.status == "ok" for other in report.checks if other is not found)


@pytest.mark.parametrize("of", [WELL, *(of for *_, of in FAULTS.values())])
def test_the_json_fits_its_schema_and_can_be_read_back(of: HostFacts) -> None:
    report = diagnose(of)
    data = json.loads(json.dumps(structure.to_data(report)))
    jsonschema.validate(data, json.loads(json_schemas.schemas()["doctor.schema.json"]))
    assert structure.build(Report, data, structure.Source("doctor")) == report


def test_the_names_of_the_checks_stay() -> None:
    assert [each.name for each in diagnose(WELL).checks] == [
        "kernel", "btf", "headers", "bcc", "python", "capabilities", "lockdown", "perf_event_paranoid",
        "unprivileged_bpf_disabled", "bpf_stats_enabled", "bpf_jit_enable", "cgroups", "memlock", "map_access", "clock",
        "configuration", "evidence", "daemon", "loading", "map_memory",
    ]  # fmt: skip


@pytest.mark.parametrize("of", [WELL, *(of for *_, of in FAULTS.values())])
def test_it_is_one_screen(of: HostFacts) -> None:
    lines = render(diagnose(of)).splitlines()
    assert len(lines) <= 40
    assert max(map(len, lines)) <= WIDTH


def test_a_probe_that_does_not_load_says_why() -> None:
    found = probe(diagnose(replace(WELL, loads=Loads({"process": ("verifier", "R1 invalid\nat line 3")}))))
    assert (found.status, found.tried, found.reason) == ("failure", True, "verifier")
    text = render(diagnose(replace(WELL, loads=Loads({"process": ("verifier", "R1 invalid\nat line 3")}))))
    assert "FAILURE  probe process: does not load (verifier); on_exec at sched_process_exec" in text
    assert "-> at line 3" in text


def test_an_attach_point_that_is_missing_is_found_without_privilege() -> None:
    missing = AttachPoint("raw_tracepoint", "sched_proces_exec")
    configuration = replace(WELL.configuration, programs={"process": {"on_exec": missing}})
    report = diagnose(replace(WELL, may_load=False, loads=None, configuration=configuration))
    assert (probe(report).status, probe(report).reason, probe(report).tried) == ("failure", "attach_point", False)
    assert [each.status for each in probe(report).programs] == ["failure"]
    assert "on_exec at sched_proces_exec (missing)" in render(report)


def test_an_iterator_is_looked_for_among_those_of_the_kernel() -> None:
    points = {name: AttachPoint("iterator", name) for name in ("task", "dmabuf")}
    configuration = replace(WELL.configuration, programs={"process": points})
    types = replace(WELL.types, functions=frozenset({"dmabuf"}), iterators=frozenset({"task", "tcp"}))
    report = diagnose(replace(WELL, types=types, configuration=configuration))
    assert [each.status for each in probe(report).programs] == ["ok", "failure"]


def test_without_types_no_attach_point_is_called_missing() -> None:
    report = diagnose(replace(WELL, types=Types("/b", error="no"), loads=Loads({}, "no BTF")))
    assert [each.status for each in probe(report).programs] == ["ok"]


def test_no_daemon_and_no_limit_are_well() -> None:
    report = diagnose(replace(WELL, answer=None, memlock=resource.RLIM_INFINITY, headers="/lib/modules/6.1/build"))
    assert report.status == "ok"
    assert "not used" in check(report, "headers").value


V1 = "30 25 0:26 / /sys/fs/cgroup/cpu rw shared:9 - cgroup cgroup rw,cpu\n"
V2 = "31 25 0:27 / /sys/fs/cgroup/unified rw shared:10 - cgroup2 cgroup2 rw\n"
OTHER = "26 25 0:22 / /proc rw - proc proc rw\n"


@pytest.mark.parametrize(
    ("mountinfo", "mounts"),
    [
        (OTHER + V2, Mounts("/sys/fs/cgroup/unified")),
        (V1 + OTHER + V2, Mounts("/sys/fs/cgroup/unified", ("/sys/fs/cgroup/cpu",))),
        (V1, Mounts(None, ("/sys/fs/cgroup/cpu",))),
        ("", Mounts()),
    ],
    ids=["v2", "hybrid", "v1", "none"],
)
def test_the_layout_of_control_groups_is_read(tmp_path: Path, mountinfo: str, mounts: Mounts) -> None:
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/mountinfo").write_text(mountinfo)
    assert facts.find_mounts(tmp_path) == mounts


def test_headers_are_found_where_they_are(tmp_path: Path) -> None:
    assert facts.find_headers("6.1.0", tmp_path) is None
    (tmp_path / "lib/modules/6.1.0/build").mkdir(parents=True)
    assert facts.find_headers("6.1.0", tmp_path) == "/lib/modules/6.1.0/build"


def test_an_empty_tree_has_facts_too(tmp_path: Path) -> None:
    found = facts.gather(
        str(tmp_path / "absent.yaml"), str(tmp_path / "absent"), None, http_config.read(None), tmp_path
    )
    assert set(found.sysctls.values()) == {None}
    assert (found.lockdown, found.clocks.source, found.mounts) == (None, None, Mounts())
    report = diagnose(found)
    assert check(report, "btf").status == check(report, "configuration").status == "failure"


def test_the_configuration_says_where_programs_attach_and_where_the_daemon_listens() -> None:
    found, requests = facts.read_configuration(str(ROOT / "config/probed.yaml"), "/btf")
    assert found.error == ""
    assert found.programs is not None
    assert found.programs["process"]["on_exec"] == AttachPoint("raw_tracepoint", "sched_process_exec")
    assert found.address == Address("127.0.0.1", 9788)
    assert {each.name for each in requests} == set(found.programs) == {*SHIPPED, "execs", "opens"}


def test_a_broken_trace_probe_costs_no_other_probe_its_check(tmp_path: Path) -> None:
    (tmp_path / "execs").mkdir()
    (tmp_path / "execs" / "execs.yaml").write_text("columns: [")
    configuration = tmp_path / "probed.yaml"
    configuration.write_text(yaml.safe_dump(site(directories=[tmp_path, PROBES]) | {"evidence": {}}))
    found, requests = facts.read_configuration(str(configuration), "/btf")
    assert (found.error, {each.name for each in requests}) == ("", set(SHIPPED))
    assert "execs.yaml:" in found.evidence_error


def test_without_evidence_no_trace_probe_is_tried(tmp_path: Path) -> None:
    configuration = tmp_path / "probed.yaml"
    configuration.write_text(yaml.safe_dump(site()))  # its evidence is off
    found, requests = facts.read_configuration(str(configuration), "/btf")
    assert found.error == ""
    assert {each.name for each in requests} == set(SHIPPED)


def test_libraries_are_named_once_with_their_versions() -> None:
    line = "7f0-7f1 r--p 00000000 00:17 3 /usr/lib/x86_64-linux-gnu/{}\n"
    maps = "".join(
        line.format(name) for name in ("libbcc.so.0.26.0", "libbcc.so.0.26.0", "libLLVM-14.so.1", "libc.so.6")
    )
    assert libraries(maps) == ["libLLVM-14.so.1", "libbcc.so.0.26.0"]


def test_a_package_that_is_missing_and_one_that_is_there() -> None:
    assert facts.package_version("no_such_module", "no-such") is None
    assert facts.package_version("pytest", "pytest") == pytest.__version__
    assert facts.package_version("json", "no-such-distribution") == ""


@contextmanager
def served(status: int, text: bytes) -> Iterator[Address]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield Address("", server.server_port)
        server.shutdown()
        thread.join()


def test_a_daemon_that_answers_is_quoted() -> None:
    with served(503, b"no probe is up\n") as address:
        assert fetch(address, "/-/ready", Endpoint()) == Answer(503, "no probe is up\n")


def test_a_free_port_gives_no_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    assert fetch(Address("127.0.0.1", port), "/-/ready", Endpoint()) is None


def test_an_answer_without_http_is_reported() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"\x15\x03\x01\x00\x02\x02\x46\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        found = fetch(Address("127.0.0.1", listener.getsockname()[1]), "/-/ready", Endpoint())
        thread.join()
    assert found is not None
    assert found.status == 0

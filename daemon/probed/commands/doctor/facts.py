# SPDX-License-Identifier: Apache-2.0
"""Gathers facts about machine, configuration and daemon for `rules`. Raises nothing.

Files are read below `root`; other facts come from this process.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import field, replace
from pathlib import Path

from probed.client.http_client import Answer, fetch, find_endpoint
from probed.client.http_config import HttpConfiguration
from probed.config import files
from probed.config.files import DeclaredProbe
from probed.config.site import Site
from probed.elf.files import identity_of
from probed.errors import DeclarationError, HostError, LoadError
from probed.frozen import frozen
from probed.ipc.attach_points import AttachPoint
from probed.ipc.evidence_messages import TRACE_OF
from probed.ipc.loader_messages import Files, LoadRequest
from probed.ipc.loader_process import ProbeHandle, load_all
from probed.linux import lockdown, mountinfo, privilege
from probed.linux.cpus import possible_cpus
from probed.linux.time_namespace import clock_offset
from probed.loader.btf.reader import Btf
from probed.webconfig.listen_address import Address

SYSCTLS = (
    "kernel/perf_event_paranoid",
    "kernel/unprivileged_bpf_disabled",
    "kernel/bpf_stats_enabled",
    "net/core/bpf_jit_enable",
)
PACKAGES = {
    "numpy": "numpy", "prometheus_client": "prometheus-client", "h11": "h11", "bcrypt": "bcrypt",
    "yaml": "PyYAML", "seccomp": "seccomp", "systemd": "systemd-python",
}  # fmt: skip
"""Imported modules, each with the name of the distribution."""

ASK_SECONDS = 60.0


@frozen
class Types:
    """The kernel's types; `error` says why they cannot be used."""

    path: str
    size: int = 0
    raw_tracepoints: frozenset[str] = frozenset()
    functions: frozenset[str] = frozenset()
    iterators: frozenset[str] = frozenset()
    error: str = ""


@frozen
class Compiler:
    """BCC; `error` says why BCC cannot be used. `libraries` are file names.

    `needed_by` has the site's probes that come from sources, because they have no object.
    """

    version: str = ""
    libraries: tuple[str, ...] = ()
    error: str = ""
    needed_by: tuple[str, ...] = ()


@frozen
class Mounts:
    """Mount points of control groups: `v2` of the unified hierarchy, `v1` of the others."""

    v2: str | None = None
    v1: tuple[str, ...] = ()


@frozen
class Clocks:
    """The kernel's clock source (None: unknown), and the seconds of sleep since the boot."""

    source: str | None = None
    slept: float = 0.0


@frozen
class Configuration:
    """The site configuration: `error` has every problem; `programs` are the attach points by probe and program.

    `missing_files` are programs and libraries of attach points. `evidence_error` has the problems of the trace probes
    that the daemon loads when a storm begins.
    """

    path: str
    error: str = ""
    programs: Mapping[str, Mapping[str, AttachPoint]] | None = None
    address: Address | None = None
    web_config_file: str | None = None
    missing_files: frozenset[str] = frozenset()
    evidence_error: str = ""


@frozen
class Loads:
    """Results of loading: by probe the reason and text of a failure, or None. `error` concerns all probes.

    `map_bytes` has the kernel memory of ring and maps by loaded probe, without trace probes, which stay for a moment.
    """

    failures: Mapping[str, tuple[str, str] | None]
    error: str = ""
    map_bytes: Mapping[str, int] = field(default_factory=dict)


@frozen
class HostFacts:
    """All facts. None stands for an unknown one."""

    kernel: str
    machine: str
    python: str
    user: str
    capabilities: tuple[str, ...]
    may_load: bool
    types: Types
    headers: str | None
    compiler: Compiler
    packages: Mapping[str, str | None]
    lockdown: lockdown.Mode | None
    sysctls: Mapping[str, str | None]
    mounts: Mounts
    memlock: int
    maps_for_bpf_only: bool | None
    clocks: Clocks
    possible_cpus: int | None
    configuration: Configuration
    loads: Loads | None
    answer: Answer | None


def gather(
    config_file: str, btf: str, address: Address | None, client: HttpConfiguration, root: Path = Path("/")
) -> HostFacts:
    """Gather all facts. The probes are loaded where privilege permits, which takes most of the time."""
    configuration, requests = read_configuration(config_file, btf)
    may_load = privilege.may_load_bpf()
    address = address or configuration.address
    return HostFacts(
        kernel=os.uname().release,
        machine=os.uname().machine,
        python=platform.python_version(),
        user=privilege.user_name(os.geteuid()),
        capabilities=privilege.capability_names(),
        may_load=may_load,
        types=read_types(btf),
        headers=find_headers(os.uname().release, root),
        compiler=replace(ask_compiler(), needed_by=tuple(each.name for each in requests if each.object is None)),
        packages={module: package_version(module, name) for module, name in PACKAGES.items()},
        lockdown=lockdown.mode(root),
        sysctls={name: _line(root / "proc/sys" / name) for name in SYSCTLS},
        mounts=find_mounts(root),
        memlock=resource.getrlimit(resource.RLIMIT_MEMLOCK)[0],
        maps_for_bpf_only=privilege.maps_are_for_bpf_only() if may_load else None,
        clocks=read_clocks(root),
        possible_cpus=count_cpus(root),
        configuration=configuration,
        loads=try_to_load(requests) if may_load and requests else None,
        answer=ask_daemon(address, configuration.web_config_file, client) if address else None,
    )


def ask_daemon(address: Address, web_config_file: str | None, client: HttpConfiguration) -> Answer | None:
    """Request the daemon's readiness page."""
    try:
        return fetch(address, "/-/ready", find_endpoint(web_config_file, client))
    except (DeclarationError, HostError) as error:
        return Answer(0, str(error))


def _line(path: Path) -> str | None:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return None


def read_types(path: str) -> Types:
    """Read the kernel's BTF."""
    try:
        btf = Btf.read(path)
        return Types(path, Path(path).stat().st_size, btf.raw_tracepoints(), btf.functions(), btf.iterators())
    except (HostError, OSError) as error:
        return Types(path, error=str(error))


def find_headers(release: str, root: Path = Path("/")) -> str | None:
    """Return the folder of the running kernel's headers, None for none."""
    place = root / "lib/modules" / release / "build"
    return f"/{place.relative_to(root)}" if place.exists() else None


def ask_compiler() -> Compiler:
    """Import BCC in a process of its own, and return the version."""
    command = [sys.executable, "-P", "-s", "-m", "probed.loader.bcc.bcc_version"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=ASK_SECONDS, check=True)
        told = json.loads(done.stdout)
    except subprocess.CalledProcessError as error:
        return Compiler(error=(error.stderr.strip().splitlines() or ["it said nothing"])[-1])
    except (OSError, subprocess.TimeoutExpired, ValueError) as error:
        return Compiler(error=str(error))
    return Compiler(told.get("version", ""), tuple(told.get("libraries", ())), told.get("error", ""))


def package_version(module: str, distribution: str) -> str | None:
    """Return the version of an installed package, "" for an unknown one, None for a missing package."""
    if importlib.util.find_spec(module) is None:
        return None
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return ""


def find_mounts(root: Path = Path("/")) -> Mounts:
    """Return the mount points of control groups."""
    v2: list[str] = []
    v1: list[str] = []
    with suppress(OSError):
        for mount in mountinfo.mounts(root):
            if mount.type in ("cgroup", "cgroup2"):
                (v2 if mount.type == "cgroup2" else v1).append(mount.point)
    return Mounts(v2[0] if v2 else None, tuple(v1))


def read_clocks(root: Path = Path("/")) -> Clocks:
    """Return the clock source of the programs, and the time of sleep."""
    source = _line(root / "sys/devices/system/clocksource/clocksource0/current_clocksource")
    awake = time.monotonic_ns() - clock_offset("monotonic", str(root))
    since_boot = time.clock_gettime_ns(time.CLOCK_BOOTTIME) - clock_offset("boottime", str(root))
    return Clocks(source, (since_boot - awake) / 1e9)


def count_cpus(root: Path = Path("/")) -> int | None:
    """Return the number of possible CPUs."""
    try:
        return possible_cpus(root)
    except (OSError, ValueError):
        return None


def read_configuration(path: str, btf: str) -> tuple[Configuration, list[LoadRequest]]:
    """Read the site configuration, its probes, and the trace probes of its evidence."""
    address: Address | None = None
    web: str | None = None
    try:
        site, text = files.read_site(path)
        address, web = site.web.listen_addresses[0], site.web_options.config_file
        declared = files.declared_probes(site, text, btf)
    except (DeclarationError, HostError) as error:
        return Configuration(path, str(error), None, address, web), []
    traces, why_none = _traces_of_evidence(site, Files(path, btf))
    declared |= traces
    programs = {name: _programs(each) for name, each in declared.items()}
    named = {point.file for points in programs.values() for point in points.values() if point.file}
    missing = frozenset(file for file in named if not identity_of(file))
    requests = [each.request for each in declared.values()]
    return Configuration(path, "", programs, address, web, missing, why_none), requests


def _traces_of_evidence(site: Site, asked: Files) -> tuple[dict[str, DeclaredProbe], str]:
    """Read the trace probes that the daemon loads when a storm begins; return them, or why there are none."""
    if site.evidence == "off":
        return {}, ""
    try:
        return {name: files.trace_probe(name, asked) for name in TRACE_OF.values()}, ""
    except (DeclarationError, HostError) as error:
        return {}, str(error)


def _programs(declared: DeclaredProbe) -> dict[str, AttachPoint]:
    return {name: program.attach_point for name, program in declared.probe.programs.items()}


def try_to_load(requests: list[LoadRequest]) -> Loads:
    """Load and attach every probe for a moment, as `probed check --host` does."""
    try:
        outcomes = load_all(requests, "verify")
    except HostError as error:
        return Loads({}, str(error))
    handles = [outcome for outcome in outcomes.values() if isinstance(outcome, ProbeHandle)]
    return Loads(
        {name: _failure(outcome) for name, outcome in outcomes.items()},
        map_bytes={handle.loaded.name: handle.loaded.map_bytes for handle in handles if handle.loaded.metrics},
    )


def _failure(outcome: ProbeHandle | LoadError) -> tuple[str, str] | None:
    return (outcome.reason, outcome.text) if isinstance(outcome, LoadError) else None

# SPDX-License-Identifier: Apache-2.0
"""Rules of `probed doctor`: each fact is ok, a warning or a failure, with a remedy. Pure."""

from __future__ import annotations

import resource
from collections.abc import Callable, Mapping

from probed import __version__
from probed.commands.doctor.facts import HostFacts
from probed.commands.doctor.report import Attachment, Check, ProbeCheck, Report, Status, worst
from probed.config.declaration import base_units
from probed.ipc.attach_points import OF_FILES, AttachPoint, has_target
from probed.ipc.evidence_messages import TRACE_OF
from probed.memory_order import MACHINES

SLOW_CLOCKS = ("hpet", "acpi_pm", "refined-jiffies", "jiffies", "pit")
"""Clock sources whose reading takes a microsecond or more, or has a resolution of milliseconds."""

MUCH_MAP_MEMORY = 256 << 20
"""Bytes of kernel memory above which maps deserve a warning: half of MemoryMax= in the unit."""

HIGHEST_PARANOIA = 2
"""The highest kernel.perf_event_paranoid that lets CAP_PERFMON open perf events of all processes."""

LONGEST_QUOTE = 200
"""Characters of an answer that the report quotes."""

_CREDENTIALS = "does the daemon demand TLS or a client's certificate (tls_config of --http.config.file)"

Found = tuple[Status, str, str]
"""Status, value, remedy."""


def diagnose(facts: HostFacts) -> Report:
    """Apply all rules."""
    checks = tuple(Check(name, *rule(facts)) for name, rule in _RULES.items())
    probes = tuple(_probe(facts, name, programs) for name, programs in (facts.configuration.programs or {}).items())
    every = [*(each.status for each in checks), *(each.status for each in probes)]
    return Report(__version__, worst(every), checks, probes)


def _kernel(facts: HostFacts) -> Found:
    value = f"{facts.kernel} on {facts.machine}"
    if facts.machine not in MACHINES:
        return "failure", value, f"probed reads rings on {' and '.join(MACHINES)} only"
    return "ok", value, ""


def _btf(facts: HostFacts) -> Found:
    types = facts.types
    if types.error:
        return "failure", types.path, types.error
    return "ok", f"{types.path}, {types.size:,} bytes, {len(types.raw_tracepoints):,} raw tracepoints", ""


def _headers(facts: HostFacts) -> Found:
    there = f"those at {facts.headers} are not used" if facts.headers else "there are none"
    return "ok", f"none needed; {there}", ""


def _bcc(facts: HostFacts) -> Found:
    compiler = facts.compiler
    needed_by = ", ".join(compiler.needed_by)
    if compiler.error and needed_by:
        return "failure", f"BCC cannot be used, and has to compile {needed_by}", compiler.error
    if compiler.error:
        return "ok", "BCC cannot be used; no probe needs it, since each has an object", ""
    libraries = ", ".join(compiler.libraries) or "unknown libraries"
    return "ok", f"{compiler.version} ({libraries}), compiles {needed_by or 'no probe'}", ""


def _python(facts: HostFacts) -> Found:
    versions = {module: version for module, version in facts.packages.items() if version is not None}
    shown = ", ".join(f"{module} {version}".rstrip() for module, version in versions.items())
    value = f"{facts.python}; {shown}"
    missing = [module for module in facts.packages if module not in versions]
    if missing:
        needed = [module for module in missing if module != "systemd"]
        status: Status = "failure" if needed else "warning"
        return status, value, f"missing: {', '.join(missing)}; install the distribution's packages (python3-NAME)"
    return "ok", value, ""


def _capabilities(facts: HostFacts) -> Found:
    have = f"user '{facts.user}' has {', '.join(facts.capabilities) or 'none that matters'}"
    if facts.may_load:
        return "ok", have, ""
    remedy = "run 'probed doctor' as root to load the probes too; the service has both capabilities"
    return "warning", f"{have}; no probe was loaded here, which takes CAP_BPF and CAP_PERFMON", remedy


def _lockdown(facts: HostFacts) -> Found:
    match facts.lockdown:
        case "confidentiality":
            remedy = "boot with lockdown=integrity, or without secure boot"
            return "failure", "confidentiality: programs may not read the kernel's memory", remedy
        case "integrity":
            return "ok", "integrity: programs may read what they need", ""
        case mode:
            return "ok", mode or "the kernel has no lockdown, or does not show the mode", ""


def _sysctl(name: str, meaning: Callable[[str], Found]) -> Callable[[HostFacts], Found]:
    def rule(facts: HostFacts) -> Found:
        value = facts.sysctls[name]
        if value is None:
            return "ok", "unknown here", ""
        return meaning(value)

    return rule


def _paranoid(facts: HostFacts) -> Found:
    value = facts.sysctls["kernel/perf_event_paranoid"]
    if value is None:
        return "ok", "unknown here", ""
    programs = (facts.configuration.programs or {}).items()
    probes = [name for name, points in programs if any(point.kind == "perf_event" for point in points.values())]
    if not probes:
        return "ok", f"{value}; the site's attach points work with any", ""
    needs = (
        f"the perf events of {', '.join(probes)} take perf_event_open(2), which the unit allows with perf-events.conf"
    )
    if int(value) > HIGHEST_PARANOIA:
        return (
            "warning",
            f"{value}; {needs}",
            f"sysctl kernel.perf_event_paranoid={HIGHEST_PARANOIA}: above, only root may",
        )
    return "ok", f"{value}; {needs}", ""


def _unprivileged(value: str) -> Found:
    return "ok", f"{value}; probed works with any", ""


def _statistics(value: str) -> Found:
    if value == "0":
        return (
            "ok",
            "0: run times of programs are not counted (sysctl kernel.bpf_stats_enabled=1 does, at some cost)",
            "",
        )
    return "ok", f"{value}: probed_program_run_seconds_total shows the cost of programs", ""


def _jit(value: str) -> Found:
    if value == "0":
        return (
            "warning",
            "0: programs are interpreted, which takes several times as long",
            "sysctl net.core.bpf_jit_enable=1",
        )
    return "ok", value, ""


def _cgroups(facts: HostFacts) -> Found:
    v2, v1 = facts.mounts.v2, facts.mounts.v1
    if v2 is None:
        value = f"v1 only ({', '.join(v1)})" if v1 else "none mounted"
        return "warning", f"{value}: the label 'unit' is 'unknown'", "boot with systemd.unified_cgroup_hierarchy=1"
    return "ok", f"v2 at {v2}" + (f", beside v1 at {len(v1)} places (hybrid)" if v1 else ""), ""


def _memlock(facts: HostFacts) -> Found:
    failed = [name for name, failure in _failures(facts).items() if failure and failure[0] == "memlock"]
    limit = "unlimited" if facts.memlock == resource.RLIM_INFINITY else base_units.format_size(facts.memlock)
    if failed:
        return (
            "failure",
            f"{limit}, too little for {', '.join(failed)}",
            "LimitMEMLOCK=infinity in the unit, or ulimit -l",
        )
    return "ok", f"{limit}; only kernels before Linux 5.11 count maps against it", ""


def _map_access(facts: HostFacts) -> Found:
    if facts.maps_for_bpf_only is None:
        return "ok", "not tried", ""
    if facts.maps_for_bpf_only:
        return (
            "warning",
            "only CAP_BPF reads maps, so the exporter keeps this capability",
            "Linux 5.19 and later do not need this",
        )
    return "ok", "the exporter reads maps without any capability", ""


def _clock(facts: HostFacts) -> Found:
    source = facts.clocks.source
    value = f"{source or 'unknown source'}; slept {facts.clocks.slept:.0f} s since the boot"
    if source in SLOW_CLOCKS:
        return "warning", f"{value}: every event with a time is slow", "see dmesg for why the kernel left tsc"
    return "ok", value, ""


def _configuration(facts: HostFacts) -> Found:
    configuration = facts.configuration
    if configuration.error:
        return "failure", configuration.path, configuration.error
    return "ok", f"{configuration.path}, {len(configuration.programs or {})} probes", ""


def _evidence(facts: HostFacts) -> Found:
    problems = facts.configuration.evidence_error
    if problems:
        return "warning", "a storm leaves no evidence in the log", f"{problems}; or set 'evidence: off'"
    if facts.configuration.programs is None:
        return "ok", "not tried", ""
    traces = [name for name in TRACE_OF.values() if name in facts.configuration.programs]
    return "ok", f"a storm loads {' or '.join(traces)}" if traces else "off", ""


def _daemon(facts: HostFacts) -> Found:
    answer = facts.answer
    if answer is None:
        return "ok", "no daemon answers at the configured address", ""
    said = _first_line(answer.text)
    match answer.status:
        case 200:
            return "ok", f"runs and is ready: {said}", ""
        case 503:
            return "failure", f"runs and is not ready: {said}", "see the log: journalctl -u probed"
        case 0:
            return (
                "warning",
                f"the port answers without HTTP: {said}",
                f"{_CREDENTIALS}, or is it another program (ss -ltnp)?",
            )
        case 401:
            return "warning", "runs, and demands a password", "name the password in basic_auth of --http.config.file"
        case status:
            return "warning", f"the port answers with status {status}", "is it another program? see ss -ltnp"


def _first_line(text: str) -> str:
    """Return the first line of an answer, shortened: the answer may be another program's."""
    line = text.strip().partition("\n")[0]
    return line if len(line) <= LONGEST_QUOTE else f"{line[:LONGEST_QUOTE]}…"


def _failures(facts: HostFacts) -> Mapping[str, tuple[str, str] | None]:
    return facts.loads.failures if facts.loads else {}


def _loading(facts: HostFacts) -> Found:
    if facts.loads is None:
        return "ok", "not tried", ""
    if facts.loads.error:
        return "failure", "the machine can load nothing", facts.loads.error
    return "ok", f"{len(facts.loads.failures)} probes tried", ""


def _map_memory(facts: HostFacts) -> Found:
    sizes = facts.loads.map_bytes if facts.loads else {}
    if not sizes:
        return "ok", "not tried", ""
    total = sum(sizes.values())
    shown = ", ".join(f"{name} {_megabytes(size)}" for name, size in sizes.items())
    cpus = "an unknown number of" if facts.possible_cpus is None else str(facts.possible_cpus)
    value = f"{_megabytes(total)} of kernel memory with {cpus} possible CPUs: {shown}"
    if total > MUCH_MAP_MEMORY:
        return (
            "warning",
            f"{value}; the unit has MemoryMax=512M for all of probed",
            "smaller rings (ring.bytes), a lower kernel.threads-max, or a larger MemoryMax=",
        )
    return "ok", value, ""


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"


def _is_there(facts: HostFacts, point: AttachPoint) -> bool:
    if point.kind in OF_FILES:
        return point.file not in facts.configuration.missing_files
    types = facts.types
    if types.error:
        return True  # the rule `btf` fails
    if point.kind == "iterator":
        return has_target(point, types.iterators)
    return has_target(point, types.raw_tracepoints if point.kind == "raw_tracepoint" else types.functions)


def _probe(facts: HostFacts, name: str, programs: Mapping[str, AttachPoint]) -> ProbeCheck:
    attachments = tuple(
        Attachment(program, point.label, "ok" if _is_there(facts, point) else "failure")
        for program, point in programs.items()
    )
    failure = _failures(facts).get(name)
    tried = name in _failures(facts)
    if failure:
        return ProbeCheck(name, "failure", tried, *failure, attachments)
    status = worst([each.status for each in attachments])
    reason = "attach_point" if status == "failure" else ""
    text = "this kernel lacks an attach point; 'probed check --host' lists near names" if reason else ""
    return ProbeCheck(name, status, tried, reason, text, attachments)


_RULES: Mapping[str, Callable[[HostFacts], Found]] = {
    "kernel": _kernel,
    "btf": _btf,
    "headers": _headers,
    "bcc": _bcc,
    "python": _python,
    "capabilities": _capabilities,
    "lockdown": _lockdown,
    "perf_event_paranoid": _paranoid,
    "unprivileged_bpf_disabled": _sysctl("kernel/unprivileged_bpf_disabled", _unprivileged),
    "bpf_stats_enabled": _sysctl("kernel/bpf_stats_enabled", _statistics),
    "bpf_jit_enable": _sysctl("net/core/bpf_jit_enable", _jit),
    "cgroups": _cgroups,
    "memlock": _memlock,
    "map_access": _map_access,
    "clock": _clock,
    "configuration": _configuration,
    "evidence": _evidence,
    "daemon": _daemon,
    "loading": _loading,
    "map_memory": _map_memory,
}
"""Rules in the order of the report."""

# SPDX-License-Identifier: Apache-2.0
"""The package counts a known workload on Debian's kernels, by objects, without headers.

kernel.perf_event_paranoid is 3. The objects are the same files on all kernels of an architecture. With
PROBED_ALL_GUESTS=1 BCC counts the workload on all kernels of x86-64 too, and the package for arm64 on Debian's kernel
for arm64.

Counts are exact but for the runs that the kernel reports as left out: see probed_probe_missed_runs_total.
"""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from support.running_daemon import SHIPPED, Page
from support.system import kernels
from support.system.counting_guests import (
    ARM_FCNTLS,
    ARM_GETPPIDS,
    AT_FUNCTIONS,
    CALLS,
    FAILED_EXECS,
    FAILED_OPENS,
    FAILED_READS,
    FILE_CALLS,
    GOOD_READS,
    GUESTS,
    LIBRARY,
    LOOKUPS,
    LOOPS,
    MARKS,
    OBSERVED,
    OWN,
    RENAMES,
    RUNS,
    SLEEPING,
    SPAWNED,
    TAILED,
    THREADS,
    Guest,
    Made,
    Run,
    boot,
    made_for_arm64,
    made_for_this_machine,
)

UNIT = "known.service"
NO_UPROBES = "this kernel has no multi links of uprobes: they take Linux 6.6 and CONFIG_UPROBES"
NO_MULTI_LINKS = "this kernel has no multi links of kprobes: they take Linux 5.18 and CONFIG_FPROBE"
NO_GROUPS = "this kernel has no iterator 'cgroup'"
NO_LOOKUPS = "has no raw tracepoint 'mm_filemap_get_pages'"
NO_FUNCTIONS = "this kernel has no programs at functions: they take CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS"
LACKING: Mapping[str, Mapping[str, str]] = {
    "5.10": {"probed_reads": NO_MULTI_LINKS, "marks": NO_UPROBES, "page_cache": NO_LOOKUPS, "groups": NO_GROUPS},
    "6.1": {"probed_reads": NO_MULTI_LINKS, "marks": NO_UPROBES, "page_cache": NO_LOOKUPS},
    kernels.ARM64: {
        "probed_reads": "takes the registers of x86-64, and this machine is aarch64",
        "marks": "takes the registers of x86-64, and this machine is aarch64",
        "traced_reads": NO_FUNCTIONS,
        "file_system": NO_FUNCTIONS,
        "page_cache": NO_LOOKUPS,
    },
}
"""Why a kernel cannot run a probe."""
TWO_CAPABILITIES = 1 << 38 | 1 << 39  # CAP_PERFMON, CAP_BPF
CAP_BPF = 1 << 39


@pytest.fixture(scope="module")
def guests(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Mapping[str, Future[Guest]]]:
    """The guests of all selected tests, two at a time."""
    if not shutil.which("qemu-system-x86_64") or not shutil.which("mkfs.ext4"):
        pytest.skip("other kernels run in QEMU, from a disk: install qemu-system-x86 and e2fsprogs")
    folder = tmp_path_factory.mktemp("kernels")
    params = (getattr(item, "callspec", None) for item in request.session.items)
    asked = (spec.params.get("guest") or spec.params.get("run", [None])[0] for spec in params if spec)
    chosen = dict.fromkeys(kernel for kernel in asked if kernel in GUESTS)
    made: dict[bool, Made] = {}
    for is_arm64 in {kernel == kernels.ARM64 for kernel in chosen}:
        make = made_for_arm64 if is_arm64 else made_for_this_machine
        made[is_arm64] = make(tmp_path_factory.mktemp("own"))
    with ThreadPoolExecutor(2) as pool:
        yield {kernel: pool.submit(boot, kernel, folder / kernel, made[kernel == kernels.ARM64]) for kernel in chosen}


@pytest.fixture(scope="module", params=GUESTS)
def guest(request: pytest.FixtureRequest, guests: Mapping[str, Future[Guest]]) -> Guest:
    """A guest's record, once complete."""
    return guests[request.param].result()


@pytest.fixture(params=RUNS, ids="-".join)
def run(request: pytest.FixtureRequest, guests: Mapping[str, Future[Guest]]) -> Run:
    """The run on one kernel by one loader."""
    kernel, loader = request.param
    return guests[kernel].result().runs[loader]


def test_the_guest_runs_debians_kernel(guest: Guest, request: pytest.FixtureRequest) -> None:
    kernel, release = request.node.callspec.params["guest"], guest.seen["release"]
    assert release.endswith("-arm64") if kernel == kernels.ARM64 else release.startswith(f"{kernel}.")
    assert guest.seen["paranoid"] == "3"
    assert guest.seen["headers"] == []


def test_every_shipped_probe_is_up_by_the_loader(run: Run) -> None:
    for probe in SHIPPED:
        assert run.after.value("probed_probe_up", probe=probe) == 1
        assert run.after.value("probed_probe_info", probe=probe, loader=run.loader) == 1


def test_two_capabilities_suffice(guest: Guest) -> None:
    supervisor, exporter = (dict(line.split(":\t") for line in text.splitlines()) for text in guest.seen["statuses"])
    assert int(supervisor["CapPrm"], 16) == TWO_CAPABILITIES
    # Before Linux 5.19 reading maps takes CAP_BPF.
    kept = CAP_BPF if guest.seen["release"].startswith("5.10.") else 0
    assert int(exporter["CapPrm"], 16) == kept
    assert ("so the exporter keeps that" in guest.seen["journal"]) == bool(kept)


def test_check_loads_every_object_for_root_too(guest: Guest) -> None:
    assert guest.seen["check"].count("(attaches here)") == 13
    assert guest.seen["check"].count("loader core, object /usr/share/probed/probes/") == 4


def test_calls_of_32_bit_arm_programs_have_the_names_of_their_table(run: Run) -> None:
    """There 221 is fcntl64, in the table of arm64 execve."""
    program = run.workload.programs.get("arm")
    fcntls, getppids = (ARM_FCNTLS, ARM_GETPPIDS) if program else (0, 0)
    assert run.counted("probed_syscalls_total", syscall="fcntl64") == fcntls
    assert run.counted("probed_syscall_failures_total", syscall="fcntl64") == fcntls
    assert run.counted("probed_syscall_failures_total", syscall="fcntl64", errno="EBADF") == fcntls
    assert run.counted("probed_syscalls_total", syscall="getppid") >= getppids
    if program:
        assert run.after.total("probed_process_execs_total", comm=program) == 1
        assert run.after.total("probed_process_exec_failures_total", comm=program) == 0


def test_execs_are_counted_by_parent_and_unit(run: Run) -> None:
    missed = run.missed("process", "on_exec")
    for name, (times, _) in SPAWNED.items():
        labels = {"comm": run.workload.programs[name], "parent": run.workload.spawner, "unit": UNIT}
        run.assert_counted(times, missed, "probed_process_execs_total", **labels)


def test_ends_are_counted_by_their_kind(run: Run) -> None:
    ends = "probed_process_lifetime_seconds_count"
    missed = run.missed("process", "on_exit")
    programs = run.workload.programs
    for name, exit_kind, status in (("exits", "ok", 0), ("error", "error", 7 << 8), ("signal", "signal", 15)):
        assert run.waited[status] == SPAWNED[name][0]
        run.assert_counted(run.waited[status], missed, ends, comm=programs[name], exit=exit_kind, unit=UNIT)
    # Whether core is dumped depends on the machine; the wait status counts.
    for exit_kind, status in (("signal", 6), ("core", 6 | 0x80)):
        run.assert_counted(run.waited.get(status, 0), missed, ends, comm=programs["abort"], exit=exit_kind, unit=UNIT)


def test_opens_that_fail_are_counted_by_errno(run: Run) -> None:
    missed = run.missed("open_failures", "on_return")
    for errno, times in FAILED_OPENS.items():
        labels = {"comm": run.workload.opener, "errno": errno, "unit": UNIT}
        run.assert_counted(times, missed, "probed_open_failures_total", **labels)


def test_system_calls_of_loops_that_share_a_cpu_are_counted(run: Run) -> None:
    missed = run.missed("syscalls", "on_return")
    run.assert_counted(LOOPS * CALLS, missed, "probed_syscalls_total", syscall="sched_rr_get_interval")


def test_less_than_a_thousandth_of_the_runs_is_left_out(run: Run) -> None:
    assert run.missed("syscalls", "on_return") < LOOPS * CALLS / 1000


def test_no_event_is_lost_on_the_way(run: Run) -> None:
    for probe in SHIPPED:
        assert run.after.lost(probe) == 0
        assert run.after.emitted(probe) == run.after.accounted(probe)


def test_missed_runs_are_on_the_page(guest: Guest) -> None:
    """Kernels before 7.2 leave out nothing."""
    pages = [run.after for run in guest.runs.values()]
    missed = [value for page in pages for (name, _), value in page.items() if name == "probed_probe_missed_runs_total"]
    assert max(missed) <= max(guest.seen["missed"].values())  # of any hook, a moment later
    assert not any(missed) or guest.seen["release"].startswith("7.")


def test_a_probe_is_up_where_the_kernel_has_its_attach_points_and_otherwise_names_the_missing_one(guest: Guest) -> None:
    page, lacking = guest.functions.after, LACKING.get(guest.kernel, {})
    for probe in (*OWN, *LIBRARY):
        assert page.total("probed_probe_up", probe=probe) == (probe not in lacking)
        reasons = page.by("reason", "probed_probe_load_failures_total", probe=probe)
        assert list(reasons) == (["attach_point"] if probe in lacking else [])
    known = {reason for reasons in LACKING.values() for reason in reasons.values()}
    assert {reason for reason in known if reason in guest.seen["journal"]} == set(lacking.values())


@pytest.mark.parametrize("probe", AT_FUNCTIONS)
def test_runs_at_functions_are_counted_with_arguments_and_returned_values(guest: Guest, probe: str) -> None:
    run = guest.functions
    if probe in LACKING.get(guest.kernel, {}):
        return
    name, labels = f"probed_{probe}_total", {"comm": run.workload.programs["reads"]}
    entries, returns = run.missed(probe, "on_entry"), run.missed(probe, "on_return")
    for mode, times in ((os.O_RDONLY, GOOD_READS), (os.O_WRONLY, FAILED_READS)):
        run.assert_counted(times, entries, name, point="entry", bytes="7", mode=str(mode), **labels)
    for result, times in (("7", GOOD_READS), ("-9", FAILED_READS)):
        run.assert_counted(times, returns, name, point="return", result=result, **labels)


def test_usdt_probes_are_counted_with_arguments_and_behind_a_semaphore(guest: Guest) -> None:
    if "marks" in LACKING.get(guest.kernel, {}):
        return
    counted = guest.functions.after.by("sum", "probed_marks_total")
    numbers = MARKS * (MARKS - 1)
    assert {name: value for name, value in counted.items() if value} == {
        "twice": 2 * MARKS, "numbers": numbers, "negatives": numbers,
        "guarded": MARKS, "doubles": numbers,
        "sevens": 7 * MARKS, "three_hundreds": 300 * MARKS,
        "odd": MARKS, "odd_numbers": numbers / 2,
    }  # fmt: skip
    assert guest.functions.missed("marks", "on_twice", "on_guarded", "on_constants", "on_odd") == 0


def test_a_probe_mixes_functions_and_raw_tracepoints(guest: Guest) -> None:
    run = guest.functions
    if "traced_reads" in LACKING.get(guest.kernel, {}):
        return
    missed = run.missed("traced_reads", "on_syscall")
    labels = {"comm": run.workload.programs["reads"], "point": "syscall", "result": "-9"}
    run.assert_counted(FAILED_READS, missed, "probed_traced_reads_total", **labels)


@pytest.mark.parametrize("metric", ["probed_renames_total", "probed_mapped_renames_total"])
def test_a_stack_has_the_functions_from_the_system_call_to_the_tracepoint(guest: Guest, metric: str) -> None:
    page = Page.parse(guest.seen["stacks"])
    if page.total("probed_probe_missed_runs_total", probe="call_paths"):
        return
    counts = page.by("stack", metric, comm=guest.renamer)
    by_call, by_file = ({s: n for s, n in counts.items() if function in s} for function in ("prctl", "vfs_write"))
    assert (sum(by_call.values()), sum(by_file.values())) == RENAMES
    assert len(by_call) == len(by_file) == 1
    assert {stack.rpartition(";")[2] for stack in counts} == {"__set_task_comm"}


def test_histograms_in_the_kernel_have_exact_buckets_and_sums(guest: Guest) -> None:
    page, comm = guest.functions.after, guest.functions.workload.programs["observes"]
    if guest.functions.missed("bucketed", "on_enter"):
        return
    buckets = page.by("le", "probed_bucketed_seconds_bucket", comm=comm)
    bounds = [1_000 << index for index in range(27)]
    at_most = [sum(times for value, times in OBSERVED.items() if value <= bound) for bound in bounds]
    assert list(buckets.values()) == [*at_most, sum(OBSERVED.values())]
    total = sum(value * times for value, times in OBSERVED.items())
    assert page.value("probed_bucketed_seconds_sum", comm=comm) == total * 1e-9
    assert (page.value("probed_bucketed_bytes_sum"), page.lost("bucketed")) == (total, 0)


def test_iterators_see_what_there_is_at_the_scrape(guest: Guest) -> None:
    page = Page.parse(guest.library["sleepers"])
    assert page.value("probed_tasks_processes", comm="sleepers") == SLEEPING
    assert page.value("probed_tasks_threads", comm="sleepers") == SLEEPING * THREADS
    assert page.total("probed_tasks_rows") > SLEEPING * THREADS
    assert page.value("probed_groups", level="0") == ("groups" not in LACKING.get(guest.kernel, {}))
    assert guest.functions.after.total("probed_tasks_processes", comm="sleepers") == 0


def test_the_time_of_calls_on_files_is_by_file_system_and_operation(guest: Guest) -> None:
    if "file_system" in LACKING.get(guest.kernel, {}):
        return
    counted = guest.functions.after.by("operation", "probed_file_system_seconds_count", file_system="ramfs")
    missed = {call: guest.functions.missed("file_system", f"on_{call}", f"on_{call}_end") for call in FILE_CALLS}
    for call, times in FILE_CALLS.items():
        assert times - missed[call] <= counted[call] <= times


def test_lookups_in_the_page_cache_and_misses_are_counted(guest: Guest) -> None:
    if "page_cache" in LACKING.get(guest.kernel, {}):
        return
    page = Page.parse(guest.library["lookups"])
    reads, writes, cached, absent = LOOKUPS
    for name, expected in (
        ("lookups", {"read": 3 * reads + writes, "fault": cached + absent}),
        ("misses", {"read": reads, "fault": absent}),
    ):
        idle, working = (
            page.by("access", f"probed_page_cache_{name}_total", unit=f"{unit}.service") for unit in ("idle", "lookups")
        )
        assert {access: working[access] - idle.get(access, 0) for access in expected} == expected


def test_throttling_is_counted_as_by_the_kernel(guest: Guest) -> None:
    page, stat = Page.parse(guest.library["quota"]["page"]), guest.library["quota"]["stat"]
    prefix, unit = "probed_cpu_throttling", "quota.service"
    assert stat["nr_throttled"] >= 31
    assert page.value(f"{prefix}_periods_total", unit=unit) == stat["nr_periods"]
    assert page.value(f"{prefix}_throttled_periods_total", unit=unit) == stat["nr_throttled"]
    seconds = page.value(f"{prefix}_throttled_seconds_total", unit=unit)
    assert int(seconds * 1e6) == stat["throttled_usec"]


def test_a_tail_by_an_object_shows_every_exec_with_its_arguments(guest: Guest) -> None:
    spawner, program = guest.tailed.spawner, f"/out/bin/{guest.tailed.programs['exits']}"
    rows = [row for row in map(json.loads, guest.seen["tail"].splitlines()) if row["parent"] == spawner]
    assert Counter((row["comm"], row["path"], *row["args"], row["result"]) for row in rows) == {
        (guest.tailed.programs["exits"], program, program, "one", "two words", 0): TAILED,
        (spawner, "/absent", "/absent", "x", "ENOENT"): FAILED_EXECS,
    }


def test_the_limits_of_the_unit_hold_and_are_not_reached(guest: Guest) -> None:
    limits = guest.seen["limits"]
    assert (limits["cpu.weight"], limits["memory.max"], limits["pids.max"]) == ("1000", str(512 << 20), "64")
    for resource in ("memory", "pids"):
        reached = dict(line.split() for line in limits[f"{resource}.events"].splitlines())
        assert reached["max"] == "0"


def test_stop_and_purge_leave_no_trace(guest: Guest) -> None:
    assert guest.seen["missed after stop"] == {}
    assert guest.seen["files before"] == guest.seen["files after"] == []

# SPDX-License-Identifier: Apache-2.0
"""The label `unit` for control groups with the paths of systemd and of container runtimes.

The test removes each group before the scrape, so its name comes from the kernel's announcement, not from a walk.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from support.cgroup2 import Cgroups, run_in, start_in
from support.kernel_fixtures import OWN_PROBES, Install, Start
from support.running_daemon import PROBES, Daemon, site, until
from support.workload_programs import fresh_letters

EXECS = "probed_process_execs_total"
LIFETIMES = "probed_process_lifetime_seconds_count"

POD = "11111111-2222-4333-8444-555555555555"
POD_SLICE = f"kubepods-burstable-pod{POD.replace('-', '_')}.slice"
PODS = f"kubepods.slice/kubepods-burstable.slice/{POD_SLICE}"
GUARANTEED = f"kubepods.slice/kubepods-pod{POD.replace('-', '_')}.slice"
USER = "user.slice/user-1000.slice/user@1000.service"

CONTAINERS = {
    "Docker, systemd": ("system.slice/docker-{id}.scope", "docker:{short}"),
    "Docker, cgroupfs": ("docker/{id}", "docker:{short}"),
    "Docker, something below": ("docker/{id}/init", "docker:{short}"),
    "Docker, rootless": (USER + "/app.slice/docker-{id}.scope", "user@1000.service/docker:{short}"),
    "Docker in a pod": (PODS + "/docker-{id}.scope", "docker:{short}"),
    "Podman, systemd": ("machine.slice/libpod-{id}.scope", "podman:{short}"),
    "Podman, crun": ("machine.slice/libpod-{id}.scope/container", "podman:{short}"),
    "Podman, cgroupfs": ("libpod_parent/libpod-{id}", "podman:{short}"),
    "Podman, rootless": (USER + "/user.slice/libpod-{id}.scope/container", "user@1000.service/podman:{short}"),
    "containerd, systemd": (PODS + "/cri-containerd-{id}.scope", "cri:{short}"),
    "containerd, guaranteed": (GUARANTEED + "/cri-containerd-{id}.scope", "cri:{short}"),
    "containerd, cgroupfs": (f"kubepods/burstable/pod{POD}/{{id}}", "cri:{short}"),
    "containerd, colons": (f"system.slice/containerd.service/{POD_SLICE}:cri-containerd:{{id}}", "cri:{short}"),
    "containerd in Docker": ("docker/{id}/kubelet/" + PODS + "/cri-containerd-{other}.scope", "docker:{short}"),
    "CRI-O, systemd": (PODS + "/crio-{id}.scope", "cri:{short}"),
    "CRI-O, crun": (PODS + "/crio-{id}.scope/container", "cri:{short}"),
    "CRI-O, cgroupfs": (f"kubepods/burstable/pod{POD}/crio-{{id}}", "cri:{short}"),
}

MADE_AT_RANDOM = {
    "Podman, health check": ("system.slice/{id}-{other:.16}.service", "podman:{short}"),
    "Buildah": ("system.slice/crun-buildah-buildah4071829356.scope", "crun-buildah-buildah*.scope"),
    "BuildKit": ("system.slice/system.slice:docker:q{id:.24}", "buildkit:*"),
    "any": ("system.slice/job-{id:.32}.service", "job-*.service"),
}

UNITS = {
    "a service": ("system.slice/test-{letters}.service", "test-{letters}.service"),
    "below a service": ("system.slice/test-{letters}.service/workers/3", "test-{letters}.service"),
    "a scope": ("system.slice/test-{letters}.scope", "test-{letters}.scope"),
    "a user's manager": (USER + "/init.scope", "user@1000.service/init.scope"),
    "a user's service": (USER + "/app.slice/test-{letters}.service", "user@1000.service/test-{letters}.service"),
}

NAMES = CONTAINERS | MADE_AT_RANDOM | UNITS


@pytest.fixture
def cgroups() -> Iterator[Cgroups]:
    with Cgroups() as made:
        yield made


def fresh(texts: tuple[str, str]) -> tuple[str, str]:
    """Return path and label with fresh ids."""
    number = secrets.token_hex(32)
    names = {"id": number, "short": number[:12], "other": secrets.token_hex(32), "letters": fresh_letters()}
    path, label = (text.format(**names) for text in texts)
    return path, label


@pytest.mark.parametrize("texts", NAMES.values(), ids=NAMES)
def test_a_removed_cgroup_has_its_name(
    daemon: Daemon, install: Install, cgroups: Cgroups, texts: tuple[str, str]
) -> None:
    path, label = fresh(texts)
    program = install("exits")
    run_in(cgroups.make(path), program)
    cgroups.remove()
    page = daemon.scrape()
    assert page.by("unit", EXECS, comm=program.name) == {label: 1}
    assert page.by("unit", LIFETIMES, comm=program.name) == {label: 1}


def test_a_process_outside_of_every_unit_has_the_root_as_its_unit(
    daemon: Daemon, install: Install, cgroups: Cgroups
) -> None:
    program = install("exits")
    run_in(cgroups.root, program)
    assert daemon.scrape().by("unit", EXECS, comm=program.name) == {"/": 1}


def test_a_cgroup_older_than_the_daemon_has_its_name(start: Start, install: Install, cgroups: Cgroups) -> None:
    path, label = fresh(CONTAINERS["Docker, systemd"])
    group, program = cgroups.make(path), install("exits")
    daemon = start()
    run_in(group, program)
    assert daemon.scrape().by("unit", EXECS, comm=program.name) == {label: 1}


def test_failed_opens_have_the_unit_too(daemon: Daemon, install: Install, cgroups: Cgroups) -> None:
    path, label = fresh(UNITS["a service"])
    program = install("fail_opens")
    run_in(cgroups.make(path), program, "openat", "ENOENT", "101")
    cgroups.remove()
    assert daemon.scrape().by("unit", "probed_open_failures_total", comm=program.name, errno="ENOENT") == {label: 101}


def test_101_cgroups_are_told_apart(daemon: Daemon, install: Install, cgroups: Cgroups) -> None:
    program, labels = install("exits"), dict[str, float]()
    for times in range(1, 102):
        path, label = fresh(CONTAINERS["Podman, systemd"])
        group = cgroups.make(path)
        for _ in range(times % 3 + 1):
            run_in(group, program)
        cgroups.remove()
        labels[label] = times % 3 + 1
    assert daemon.scrape().by("unit", EXECS, comm=program.name) == labels


def test_unknown_cgroups_are_one_label(start: Start, install: Install, cgroups: Cgroups) -> None:
    program = install("exits")
    daemon = start(site({"process": None}))  # without the announcements
    for _ in range(11):
        run_in(cgroups.make(fresh(UNITS["a service"])[0]), program)
        cgroups.remove()
    assert daemon.scrape().by("unit", EXECS, comm=program.name) == {"unknown": 11}


def test_opens_have_the_unit_too(daemon: Daemon, install: Install, cgroups: Cgroups) -> None:
    """Successful opens count, too: starting a program takes some.

    A count that moves from a CPU's slot into the map while a scrape reads both is on the next page.
    """
    path, label = fresh(UNITS["a service"])
    run_in(cgroups.make(path), install("fail_opens"), "openat", "EMFILE", "1009")
    cgroups.remove()
    until(lambda: daemon.scrape().total("probed_opens_total", unit=label) == 1_009, "every open is counted")
    assert daemon.scrape().total("probed_opens_total", unit=label) == 1_009


def test_opens_of_many_cgroups_at_once_are_told_apart(daemon: Daemon, install: Install, cgroups: Cgroups) -> None:
    """More control groups than a CPU's recent counts hold, with scrapes in between."""
    program, labels, running = install("fail_opens"), dict[str, float](), []
    for number in range(23):
        path, label = fresh(UNITS["a service"])
        labels[label] = 20_011 + 2 * number
        running.append(start_in(cgroups.make(path), program, "openat", "EMFILE", str(20_011 + 2 * number)))
    while any(process.poll() is None for process in running):
        page = daemon.scrape()
        assert all(page.total("probed_opens_total", unit=label) <= times for label, times in labels.items())
    assert [process.returncode for process in running] == [0] * len(running)

    def counted() -> dict[str, float]:
        page = daemon.scrape()
        return {label: page.total("probed_opens_total", unit=label) for label in labels}

    until(lambda: counted() == labels, "every open is counted")
    assert counted() == labels


def test_a_map_of_cgroups_never_fills(start: Start, install: Install, cgroups: Cgroups) -> None:
    """Entries of removed control groups leave the map, and their counts stay on the page."""
    execs, map_full = "probed_owners_execs_total", {"probe": "owners", "reason": "map_full"}
    program, labels = install("exits"), dict[str, float]()
    daemon = start(site({"cgroups": None, "owners": None}, [PROBES, OWN_PROBES]))
    for _ in range(3):
        for times in range(41):
            path, label = fresh(UNITS["a service"])
            for _ in range(times % 3 + 1):
                run_in(cgroups.make(path), program)
            cgroups.remove()
            labels[label] = times % 3 + 1
        until(lambda: daemon.scrape().value("probed_map_entries", probe="owners", map="execs") < 20, "there is room")
        page = daemon.scrape()
        assert {unit: page.value(execs, unit=unit) for unit in labels} == labels
        assert page.value("probed_events_lost_total", **map_full) == 0


HOSTILE = (b"a", b'quo"te', b"back\\slash", b"\\xff", b"\xff", b"%FF", b"pi|pe", b"bra{c}e", b"con\x01trol", b"comma,=")


def test_hostile_names_stay_apart_on_a_valid_page(daemon: Daemon, install: Install, cgroups: Cgroups) -> None:
    program = install("exits")
    for name in HOSTILE:
        run_in(cgroups.make(program.name.encode() + name), program)
        cgroups.remove()
    assert list(daemon.scrape().by("unit", EXECS, comm=program.name).values()) == [1] * len(HOSTILE)
    assert daemon.get("/metrics", Accept="application/openmetrics-text")[0] == 200


WITH_POD = {
    "cgroups": None,
    "process": {"metrics": {EXECS: {"add_labels": {"pod_uid": {"field": "cgroup", "decoder": "pod_uid"}}}}},
}


@pytest.mark.parametrize("runtime", [name for name, (path, _) in CONTAINERS.items() if path.startswith("kubepods")])
def test_a_container_of_a_pod_has_its_uid(start: Start, install: Install, cgroups: Cgroups, runtime: str) -> None:
    daemon = start(site(WITH_POD))
    path, label = fresh(CONTAINERS[runtime])
    program = install("exits")
    run_in(cgroups.make(path), program)
    cgroups.remove()
    page = daemon.scrape()
    assert page.by("unit", EXECS, comm=program.name) == {label: 1}
    assert page.by("pod_uid", EXECS, comm=program.name) == {POD: 1}


def test_a_process_outside_of_every_pod_has_an_empty_pod_uid(start: Start, install: Install, cgroups: Cgroups) -> None:
    daemon, program = start(site(WITH_POD)), install("exits")
    run_in(cgroups.make(fresh(UNITS["a service"])[0]), program)
    assert daemon.scrape().by("pod_uid", EXECS, comm=program.name) == {"": 1}

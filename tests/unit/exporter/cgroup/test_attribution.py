# SPDX-License-Identifier: Apache-2.0
"""The owner of a cgroup: layouts of systemd and of every container runtime, and forged ones."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probed.exporter.cgroup.attribution import attribute

ID = "0123456789abcdef" * 4
OTHER = "fedcba9876543210" * 4
BUILD = "q5w0zn3k81ab9c7e4t2y6u0pd"
UID = "0b7632a2-a56e-4278-987a-22de18008dbe"
POD_SLICE = "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod0b7632a2_a56e_4278_987a_22de18008dbe.slice"
KIND = f"/kubelet.slice{POD_SLICE.replace('/kube', '/kubelet-kube')}/cri-containerd-{ID}.scope"
MANAGER = "/user.slice/user-1000.slice/user@1000.service"

UNITS = [
    ("", "/"),
    ("/", "/"),
    ("/init.scope", "init.scope"),
    ("/system.slice/nginx.service", "nginx.service"),
    ("/system.slice/nginx.service/", "nginx.service"),
    ("/system.slice/foo.service/worker1", "foo.service"),
    ("/system.slice/foo.service/a/b.service", "foo.service"),
    ("/system.slice/system-getty.slice/getty@tty1.service", "getty@tty1.service"),
    ("/system.slice/system-systemd\\x2dfsck.slice/a\\x2db@c\\x2dd.service", "a\\x2db@c\\x2dd.service"),
    ("/system.slice/dev-hugepages.mount", "dev-hugepages.mount"),
    ("/system.slice/dbus.socket", "dbus.socket"),
    ("/system.slice/dev-sda2.swap", "dev-sda2.swap"),
    ("/system.slice/_cpu.service", "cpu.service"),
    ("/system.slice/docker.service", "docker.service"),
    ("/user.slice/user-1000.slice/session-3.scope", "session-3.scope"),
    (f"{MANAGER}", "user@1000.service"),
    (f"{MANAGER}/init.scope", "user@1000.service/init.scope"),
    (f"{MANAGER}/app.slice", "user@1000.service"),
    (f"{MANAGER}/app.slice/app.service", "user@1000.service/app.service"),
    (f"{MANAGER}/app.slice/app.service/sub", "user@1000.service/app.service"),
    (f"{MANAGER}/app.slice/app-org.gnome.Terminal.slice/vte.scope", "user@1000.service/vte.scope"),
    (f"{MANAGER}/session.slice/dbus-:1.2-org.a@0.service", "user@1000.service/dbus-:1.2-org.a@0.service"),
    (f"{MANAGER}/plain/worker", "user@1000.service"),
    ("/machine.slice/machine-debian.scope", "machine-debian.scope"),
    ("/machine.slice/machine-debian.scope/payload/system.slice/a.service", "machine-debian.scope"),
    ("/machine.slice/machine-qemu\\x2d1\\x2dvm.scope/libvirt/vcpu0", "machine-qemu\\x2d1\\x2dvm.scope"),
    ("/machine.slice/systemd-nspawn@debian.service/payload/a.service", "systemd-nspawn@debian.service"),
    ("/system.slice/slurmstepd.scope/job_1/step_0/user/task_0", "slurmstepd.scope"),
]

SLICES = [
    ("/system.slice", "system.slice"),
    ("/user.slice/user-1000.slice", "user-1000.slice"),
    ("/system.slice/worker1", "system.slice"),
    ("/system.slice/worker1/fake.slice", "system.slice"),
    ("/_memory.slice", "memory.slice"),
]

PLAIN = [
    ("/apps", "/apps"),
    ("/apps/web", "/apps/web"),
    ("/apps/web/worker1", "/apps/web"),
    ("/openrc.sshd", "/openrc.sshd"),
    ("/docker/buildkit/0123456789abcdef0123456789", "/docker/buildkit"),
    ("/docker/buildkit", "/docker/buildkit"),
    ("/.service", "/.service"),
    ("/a b.service", "/a b.service"),
]

CONTAINERS = [
    (f"/system.slice/docker-{ID}.scope", "docker:0123456789ab"),
    (f"/docker/{ID}", "docker:0123456789ab"),
    (f"/docker/{ID}/init.scope", "docker:0123456789ab"),
    (f"/system.slice/docker.service/docker/{ID}", "docker:0123456789ab"),
    (f"/build.slice/docker-{ID}.scope/system.slice/a.service", "docker:0123456789ab"),
    (f"/machine.slice/libpod-{ID}.scope", "podman:0123456789ab"),
    (f"/machine.slice/libpod-{ID}.scope/container", "podman:0123456789ab"),
    (f"/machine.slice/libpod-conmon-{ID}.scope", "podman:0123456789ab"),
    (f"/machine.slice/machine-libpod_pod_{OTHER}.slice/libpod-{ID}.scope/container", "podman:0123456789ab"),
    (f"/libpod_parent/libpod-{ID}", "podman:0123456789ab"),
    (f"/libpod_parent/{OTHER}/libpod-{ID}", "podman:0123456789ab"),
    ("/libpod_parent/conmon", "/libpod_parent/conmon"),
    (f"/system.slice/web.service/libpod-payload-{ID}", "web.service"),
    ("/system.slice/web.service/runtime", "web.service"),
    (f"{MANAGER}/user.slice/libpod-{ID}.scope/container", "user@1000.service/podman:0123456789ab"),
    (f"{MANAGER}/user.slice/libpod-conmon-{ID}.scope", "user@1000.service/podman:0123456789ab"),
    (f"{MANAGER}/app.slice/web.service/libpod-payload-{ID}", "user@1000.service/web.service"),
    (f"{MANAGER}/user.slice/docker-{ID}.scope", "user@1000.service/docker:0123456789ab"),
    (f"/system.slice/cri-containerd-{ID}.scope", "cri:0123456789ab"),
    (f"/k8s.io/{ID}", "container:0123456789ab"),
    (f"/system.slice/nerdctl-{ID}.scope", "containerd:0123456789ab"),
    (f"/system.slice/crio-conmon-{ID}.scope", "cri:0123456789ab"),
    (f"/system.slice/{ID}-2b41f9aa01c3d5e7.service", "podman:0123456789ab"),
    (f"/system.slice/{ID}-startup-2b41f9aa01c3d5e.service", "podman:0123456789ab"),
    (f"/system.slice/{ID}.service", "podman:0123456789ab"),
    (f"{MANAGER}/app.slice/{ID}-2b41f9aa01c3d5e7.service", "user@1000.service/podman:0123456789ab"),
    (f"/system.slice/system.slice:docker:{BUILD}", "buildkit:q5w0zn3k81ab"),
    (f"/system.slice/docker.service/system.slice:docker:{BUILD}", "buildkit:q5w0zn3k81ab"),
    (f"/docker/buildkit/{BUILD}", "buildkit:q5w0zn3k81ab"),
    (f"/buildkit/{BUILD}", "buildkit:q5w0zn3k81ab"),
    (f"/system.slice/system.slice:docker:{ID}", "docker:0123456789ab"),
    ("/lxc.payload.web", "lxc:web"),
    ("/lxc.payload.web/system.slice/nginx.service", "lxc:web"),
    (f"/lxc.payload.web/docker/{ID}", "lxc:web"),
    ("/lxc.payload.a.b", "lxc:a.b"),
    ("/lxc.monitor.web", "lxc:web"),
    ("/lxc/101/ns/init.scope", "lxc:101"),
    ("/lxc.monitor/101", "lxc:101"),
    ("/lxc", "/lxc"),
]

PODS = [
    (f"{POD_SLICE}/cri-containerd-{ID}.scope", "cri:0123456789ab"),
    (f"{POD_SLICE}/crio-{ID}.scope/container", "cri:0123456789ab"),
    (f"{POD_SLICE}/crio-conmon-{ID}.scope", "cri:0123456789ab"),
    (f"{POD_SLICE}/docker-{ID}.scope", "docker:0123456789ab"),
    (POD_SLICE, POD_SLICE.rsplit("/", maxsplit=1)[-1]),
    (f"/kubepods.slice/kubepods-pod{UID.replace('-', '_')}.slice/crio-{ID}.scope", "cri:0123456789ab"),
    (KIND, "cri:0123456789ab"),
    (f"/kubepods/burstable/pod{UID}/{ID}", "cri:0123456789ab"),
    (f"/kubepods/pod{UID}/{ID}/sub", "cri:0123456789ab"),
    (f"/kubepods/besteffort/pod{UID}/crio-{ID}", "cri:0123456789ab"),
    (f"/kubepods/besteffort/pod{UID}/crio-conmon-{ID}", "cri:0123456789ab"),
    (f"/kubepods/besteffort/pod{UID}", "/kubepods/besteffort"),
    (f"/kubepods-besteffort-pod{UID.replace('-', '_')}.slice:cri-containerd:{ID}", "cri:0123456789ab"),
    (
        f"/system.slice/containerd.service/kubepods-besteffort-pod{UID.replace('-', '_')}.slice:cri-containerd:{ID}",
        "cri:0123456789ab",
    ),
]

PRETENDERS = [
    # Forgeries by a user with a cgroup of his own.
    (f"/docker/{ID}/docker/{OTHER}", "docker:0123456789ab"),
    (f"/docker/{ID}/kubepods/pod{UID}/{OTHER}", "docker:0123456789ab"),
    (f"{MANAGER}{POD_SLICE}/cri-containerd-{ID}.scope", "user@1000.service/cri:0123456789ab"),
    (f"{MANAGER}/user@0.service/nginx.service", "user@1000.service/user@0.service/nginx.service"),
    (f"/user.slice/user-1000.slice/session-3.scope/docker-{ID}.scope", "session-3.scope"),
    (f"/system.slice/docker-{ID[1:]}.scope", f"docker-{ID[1:]}.scope"),
    (f"/system.slice/docker-{ID.upper()}.scope", f"docker-{ID.upper()}.scope"),
    (f"/pod{UID}/x", f"/pod{UID}/x"),
]

ODD = [
    ("/a\nb", "/a%0Ab"),
    ("/100%", "/100%25"),
    (f"/{os.fsdecode(b'a%cb%cc' % (0xFF, 0x7F))}", "/a%FFb%7Fc"),
    ("/\ud800", "/%ED%A0%80"),
    ("/Ångström/\u0085", "/Ångström/%C2%85"),
    ("/lxc.payload.a\x01", "lxc:a%01"),
    ('/a|{"\\', '/a|{"\\'),
    ("//a//b", "/a/b"),
]


@pytest.mark.parametrize(("path", "unit"), [*UNITS, *SLICES, *PLAIN, *CONTAINERS, *PRETENDERS, *ODD])
def test_a_cgroup_belongs_to_its_unit_or_container(path: str, unit: str) -> None:
    found = attribute(path)
    assert (found.unit, found.pod_uid) == (unit, "")


@pytest.mark.parametrize(("path", "unit"), PODS)
def test_a_cgroup_in_a_pod_has_its_uid(path: str, unit: str) -> None:
    found = attribute(path)
    assert (found.unit, found.pod_uid) == (unit, UID)


@pytest.mark.parametrize(("path", "unit"), [*CONTAINERS, *PODS, *PRETENDERS])
def test_a_container_outside_of_users_managers_has_its_whole_id(path: str, unit: str) -> None:
    whole = {"0123456789ab": ID, "q5w0zn3k81ab": BUILD}
    runtime, colon, digits = unit.partition(":")
    expected = whole.get(digits, "") if colon and "/" not in runtime else ""
    assert attribute(path).container_id == expected


def test_the_uid_of_a_static_pod_is_the_hash_that_the_kubelet_made() -> None:
    digest = "0123456789abcdef" * 2
    assert attribute(f"/kubepods.slice/kubepods-pod{digest}.slice/crio-{ID}.scope").pod_uid == digest


@given(st.text())
def test_any_path_becomes_text_that_prints(path: str) -> None:
    found = attribute(path)
    assert found.unit
    assert found.unit.isprintable()
    assert found.pod_uid == ""


pieces = st.sampled_from(["%", "%41", "A", "\x01", "\\x01", "\\", "\udcff", "%FF", "ÿ", "a.service", "a"])


@given(st.lists(pieces, max_size=4), st.lists(pieces, max_size=4))
def test_distinct_names_stay_distinct(one: list[str], other: list[str]) -> None:
    assert (attribute("/x" + "".join(one)) == attribute("/x" + "".join(other))) == ("".join(one) == "".join(other))

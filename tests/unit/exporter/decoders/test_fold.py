# SPDX-License-Identifier: Apache-2.0
"""Fold rules applied, and the default rules: each with matching and other names."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probed.config.folding import fold_defaults
from probed.exporter.decoders import decoder
from probed.exporter.decoders.fold import folded
from probed.ipc.manifest import ResolvedFoldRule, ResolvedLabel

HEX = "0123456789abcdef" * 2
ESCAPED = "01234567\\x2d89ab\\x2dcdef\\x2d0123\\x2d456789abcdef"
UUID = "01234567-89ab-cdef-0123-456789abcdef"

UNTOUCHED = [
    "",
    "/",
    "bash",
    "kworker",
    "kworkers/0",
    "kernel",
    "unknown",
    "init.scope",
    "nginx.service",
    "getty@tty1.service",
    "user@1000.service",
    "user-runtime-dir@1000.service",
    "systemd-fsck@dev-disk-by\\x2duuid-0123.service",
    "openvpn@1-2.service",
    "user@1000.service/app-org.gnome.Terminal.service",
    "user@1000.service/app-steam@autostart.service",
    "user@1000.service/init.scope",
    "run-user-1000.mount",
    "run-lock.mount",
    "run-docker-netns-0123456789ab.mount",
    "session-manager.service",
    "machine-debian.scope",
    "docker:0123456789ab",
    "podman:0123456789ab",
    "lxc:session-1.scope",
    "irq/none",
    r"user@1000.service/podman:0123456789ab",
    "user-1234567.slice",
    "user@1234567.service",
    "user@1234567.service/app.service",
    "103.scope",
    "1000017.scope",
    "postgresql@15-main.service",
    "redis-server_16379.service",
    "php8.2-fpm.service",
    "backup-2026.service",
    "web-1.service",
    "snapd.seeded.service",
    "NetworkManager-wait-online.service",
    "kubernetescontrollermanager01.service",
    "systemd-networkd-wait-online@enp0s31f6.service",
    "ifup@enx001122334455.service",
    "wpa_supplicant@wlx00c0ca123456.service",
    f"systemd-cryptsetup@luks\\x2d{ESCAPED}.service",
    f"systemd-fsck@dev-disk-by\\x2duuid-{ESCAPED}.service",
    f"beesd@{UUID}.service",
    f"ceph-{UUID}@osd.3.service",
    f"dev-disk-by\\x2duuid-{ESCAPED}.swap",
    "accessibility-defaced-facade.service",
    "facade-deadbeef.service",
    "/apps/web",
    "/openrc.sshd",
    "md_raid1",
    "loop",
    "loopback0",
    "vhost-user",
]

COMMS = [
    ("kworker/0:1", "kworker"),
    ("kworker/u16:3-e", "kworker"),
    ("kworker/R-ext4-", "kworker"),
    ("ksoftirqd/0", "ksoftirqd"),
    ("migration/127", "migration"),
    ("cpuhp/1", "cpuhp"),
    ("rcuop/12", "rcuop"),
    ("rcuog/0", "rcuog"),
    ("rcuc/3", "rcuc"),
    ("idle_inject/2", "idle_inject"),
    ("irq_work/2", "irq_work"),
    ("ktimers/2", "ktimers"),
    ("backlog_napi/1", "backlog_napi"),
    ("irq/24-ACPI:Ged", "irq/ACPI:Ged"),
    ("irq/16-s-i915", "irq/i915"),
    ("kswapd0", "kswapd"),
    ("kcompactd1", "kcompactd"),
    ("kdamond.0", "kdamond"),
    ("jbd2/dm-12-8", "jbd2"),
    ("xfsaild/sda1", "xfsaild"),
    ("xfs-cil/dm-0", "xfs-cil"),
    ("dio/dm-0", "dio"),
    ("kdmflush/253:0", "kdmflush"),
    ("dmcrypt_write/2", "dmcrypt_write"),
    ("napi/eth0-8193", "napi"),
    ("kmmpd-sda1", "kmmpd"),
    ("loop12", "loop"),
    ("scsi_eh_3", "scsi_eh"),
    ("scsi_tmf_3", "scsi_tmf"),
    ("md127_raid1", "md_raid1"),
    ("iou-wrk-12345", "iou-wrk"),
    ("iou-sqp-12345", "iou-sqp"),
    ("vhost-12345", "vhost"),
    ("kvm-pit/12345", "kvm-pit"),
    ("ksmbd:50123", "ksmbd"),
]

UNITS = [
    ("session-3.scope", "session-*.scope"),
    ("session-c12.scope", "session-*.scope"),
    (f"run-r{HEX}.service", "run-*.service"),
    (f"run-r{HEX}.scope", "run-*.scope"),
    (f"run-r{HEX}.mount", "run-*.mount"),
    ("run-u123.service", "run-*.service"),
    ("run-p123-i456.scope", "run-*.scope"),
    ("run-4711.scope", "run-*.scope"),
    ("systemd-coredump@3-1234-0.service", "systemd-coredump@*.service"),
    ("systemd-coredump@3-77-1234_5678-0.service", "systemd-coredump@*.service"),
    ("sshd@12-192.0.2.1:22-192.0.2.7:50123.service", "sshd@*.service"),
    ("sshd@12-2001:db8::1:22-2001:db8::7:50123.service", "sshd@*.service"),
    ("dbus-:1.2-org.gnome.Nautilus@250.service", "dbus-:*-org.gnome.Nautilus@*.service"),
    ("app-gnome-firefox-1234.scope", "app-gnome-firefox-*.scope"),
    ("app-foo-1234.scope", "app-foo-*.scope"),
    ("app-flatpak-com.slack.Slack-2b41f9aa.scope", "app-flatpak-com.slack.Slack-*.scope"),
    ("app-gnome-org.gnome.Evince@12345.service", "app-gnome-org.gnome.Evince@*.service"),
    (f"app-KDE-org.kde.okular@{HEX}.service", "app-KDE-org.kde.okular@*.service"),
    (f"vte-spawn-{UUID}.scope", "vte-spawn-*.scope"),
    (f"tmux-spawn-{UUID}.scope", "tmux-spawn-*.scope"),
    (f"snap.firefox.firefox-{UUID}.scope", "snap.firefox.firefox-*.scope"),
    (f"snap.firefox.firefox.{UUID}.scope", "snap.firefox.firefox-*.scope"),
    ("podman-1234.scope", "podman-*.scope"),
    ("podman-pause-9141885347830502205.scope", "podman-pause-*.scope"),
]
RANDOM = [
    ("crun-buildah-buildah2310284519.scope", "crun-buildah-buildah*.scope"),
    (f"crun-{HEX}{HEX}.scope", "crun-*.scope"),
    (f"{UUID}.web.scope", "*.web.scope"),
    (f"{UUID.upper()}.web.scope", "*.web.scope"),
    (f"job_{UUID.replace('-', '_')}_2.service", "job_*_2.service"),
    (f"machine-debian\\x2d{HEX[:16]}.scope", "machine-debian\\x2d*.scope"),
    (f"machine-{ESCAPED}.scope", "machine-*.scope"),
    (f"vm-{UUID}-{HEX}.service", "vm-*-*.service"),
    ("deploy-3f2a1b9c.service", "deploy-*.service"),
    ("task-01ARZ3NDEKTSV4RRFFQ69G5FAV.service", "task-*.service"),
    ("build-q5w0zn3k81ab9c7e4t2y6u0pd.scope", "build-*.scope"),
    ("backup-20261129.service", "backup-*.service"),
    ("report-20261129-235959.service", "report-*-*.service"),
    ("job1234567.service", "job*.service"),
]
"""Names with a random or counted part, of programs that no rule knows."""
PATHS = [
    ("buildkit:q5w0zn3k81ab", "buildkit:*"),
    (f"/garden/{UUID}", "/garden/*"),
    (f"/ecs/{HEX}", "/ecs/*"),
    (
        "kubepods-burstable-pod01234567_89ab_cdef_0123_456789abcdef.slice",
        "kubepods-burstable-pod*.slice",
    ),
]
MACHINES = [(r"machine-qemu\x2d12\x2dweb.scope", r"machine-qemu\x2d*\x2dweb.scope")]


PODS = [
    # CronJobs: by minute, with an index, by second as before Kubernetes 1.21; and a Job with a date.
    ("backup-28391040-x7x2p", "backup"),
    ("db-backup-29403040-zzzzz", "db-backup"),
    ("backup-30000001-17-x7x2p", "backup"),
    ("backup-1617235200-x7x2p", "backup"),
    ("report-20261129-x7x2p", "report"),
    # Indexed and numbered Jobs.
    ("train-0-x7x2p", "train"),
    ("train-99999-x7x2p", "train"),
    ("migrate-42-7-x7x2p", "migrate"),
    # Jobs with generateName.
    ("build-x7x2p-4b9vw", "build"),
    # Deployments, StatefulSets, DaemonSets, static pods, names of one's own.
    ("web-7d4b9c6f5-x7x2p", "web-7d4b9c6f5-x7x2p"),
    ("web-5978699494-x7x2p", "web-5978699494-x7x2p"),
    ("web-2-7d4b9c6f5-x7x2p", "web-2-7d4b9c6f5-x7x2p"),
    ("db-0", "db-0"),
    ("node-exporter-x7x2p", "node-exporter-x7x2p"),
    ("kube-apiserver-node1", "kube-apiserver-node1"),
    ("backup-28391040", "backup-28391040"),
    ("backup-28391040-proxy", "backup-28391040-proxy"),
    ("", ""),
]


@pytest.mark.parametrize(("name", "text"), PODS)
def test_pods_that_a_job_numbers_have_the_name_of_the_job(name: str, text: str) -> None:
    assert by_default("pod", name) == text


def test_every_default_rule_for_pods_is_tested() -> None:
    for rule in fold_defaults.RULES_BY_DECODER["pod"]:
        assert any(re.fullmatch(rule.match, name) for name, _ in PODS), rule.match


@given(st.integers(0, 2**32 - 1))
def test_pods_of_a_deployment_keep_their_names(number: int) -> None:
    """A ReplicaSet's hash is a 32-bit number in decimal, by SafeEncodeString; short ones are left out as rare."""
    alphanumerics = "bcdfghjklmnpqrstvwxz2456789"
    encoded = "".join(alphanumerics[ord(digit) % len(alphanumerics)] for digit in str(number).zfill(7))
    name = f"web-{encoded}-x7x2p"
    assert by_default("pod", name) == name


def by_default(label: str, name: str) -> str | None:
    rules = [
        ResolvedFoldRule(rule.match, rule.replace, rule.parts)
        for rule in (fold_defaults.RULES.get(label) or fold_defaults.RULES_BY_DECODER[label])
    ]
    return folded(lambda value: bytes(value).decode(), rules)(name.encode())


@pytest.mark.parametrize("label", ["comm", "parent"])
@pytest.mark.parametrize(("name", "text"), COMMS)
def test_kernel_threads_are_told_apart_by_what_they_do(label: str, name: str, text: str) -> None:
    assert by_default(label, name) == text


@pytest.mark.parametrize(("name", "text"), [*UNITS, *RANDOM])
def test_units_that_somebody_numbers_are_one(name: str, text: str) -> None:
    assert by_default("unit", name) == text
    assert by_default("unit", f"user@1000.service/{name}") == f"user@1000.service/{text}"


@pytest.mark.parametrize(("name", "text"), [*MACHINES, *PATHS])
def test_virtual_machines_and_paths_keep_their_name_and_lose_their_number(name: str, text: str) -> None:
    assert by_default("unit", name) == text


@pytest.mark.parametrize("label", ["comm", "parent", "unit"])
@pytest.mark.parametrize("name", UNTOUCHED)
def test_other_names_stay(label: str, name: str) -> None:
    assert by_default(label, name) in (name, "kworker")
    assert label != "unit" or by_default(label, name) == name


@pytest.mark.parametrize("label", ["comm", "unit"])
def test_every_default_rule_is_tested(label: str) -> None:
    names = [*UNTOUCHED, *(name for name, _ in (COMMS if label == "comm" else [*UNITS, *MACHINES, *RANDOM, *PATHS]))]
    for rule in fold_defaults.RULES[label]:
        matches = re.search if rule.parts else re.fullmatch
        assert any(matches(rule.match, name) for name in names), rule.match


@pytest.mark.parametrize("label", ["comm", "unit"])
@pytest.mark.parametrize(
    "name",
    [
        "a1" * 4000,
        "ab1-" * 2000,
        "0123456-" * 2000,
        "a@1-" + "1-" * 2000,
        "app-" + "a-1" * 2000,
        "run-r" + "0" * 5000,
        "irq/" + "1" * 5000,
    ],
)
def test_the_default_rules_come_to_an_end_on_long_names(label: str, name: str) -> None:
    assert by_default(label, name)


@given(st.text(), st.sampled_from(["comm", "unit"]))
def test_folding_twice_folds_no_further(name: str, label: str) -> None:
    once = by_default(label, name.encode(errors="replace").decode())
    assert once is not None
    assert by_default(label, once) == once


def test_the_first_rule_that_matches_the_whole_text_counts() -> None:
    rules = (ResolvedFoldRule("a", "first"), ResolvedFoldRule("a.*", r"<\g<0>>"), ResolvedFoldRule("ab", "never"))
    fold = decoder(ResolvedLabel("comm", "comm", "comm", {}, {}, rules))
    assert [fold(name) for name in (b"a", b"ab", b"ba")] == ["first", "<ab>", "ba"]


def test_a_rule_for_parts_replaces_each_of_them() -> None:
    rules = (ResolvedFoldRule("x.*", "x"), ResolvedFoldRule("<([0-9]+)>", r"\1", parts=True))
    fold = folded(lambda value: bytes(value).decode(), rules)
    assert [fold(name) for name in (b"x<1>", b"a<1>b<22>", b"a<b>")] == ["x", "a1b22", "a<b>"]


def test_what_a_rule_drops_has_no_text() -> None:
    fold = decoder(
        ResolvedLabel("comm", "comm", "comm", {}, {}, (ResolvedFoldRule("sh", None), ResolvedFoldRule(".*", "other")))
    )
    assert [fold(name) for name in (b"sh", b"bash")] == [None, "other"]


def test_a_group_that_took_no_part_is_empty() -> None:
    assert folded(lambda _: "b", (ResolvedFoldRule("(a)?b", r"[\1]"),))(0) == "[]"


@given(st.binary(max_size=16))
def test_any_name_becomes_text_that_prints(name: bytes) -> None:
    rules = tuple(ResolvedFoldRule(rule.match, rule.replace, rule.parts) for rule in fold_defaults.RULES["comm"])
    made = decoder(ResolvedLabel("comm", "comm", "comm", {}, {}, (*rules, ResolvedFoldRule(r"(.{0,3}).*", r"\1"))))(
        name
    )
    assert made is not None
    assert made.isprintable()

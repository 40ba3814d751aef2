# SPDX-License-Identifier: Apache-2.0
"""The manifests of deploy/kubernetes against the API's schemas and against each other."""

from __future__ import annotations

import copy
import errno
import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import seccomp
import yaml

from probed.webconfig.listen_address import parse_address
from support.containerd_seccomp import DENIED, NEW_NAMESPACES
from support.kubernetes_manifests import BASE, KUBERNETES, VARIANTS, Manifest, build, one
from support.running_daemon import ROOT, run_to_its_end

OLDEST, NEWEST = "1.25", kubernetes_validate.latest_version()

DURATION = {"type": "string", "pattern": "^([0-9]+(ms|[smhdwy]))+$"}
RELABELING = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "sourceLabels": {"type": "array", "items": {"type": "string", "pattern": "^[a-zA-Z_][a-zA-Z0-9_]*$"}},
        "targetLabel": {"type": "string"},
        "regex": {"type": "string"},
        "action": {"enum": ["replace", "keep", "drop", "labelmap", "labeldrop", "labelkeep"]},
    },
}
POD_MONITOR = {
    "type": "object",
    "additionalProperties": False,
    "required": ["selector", "podMetricsEndpoints"],
    "properties": {
        "jobLabel": {"type": "string"},
        "selector": {
            "type": "object",
            "additionalProperties": False,
            "properties": {"matchLabels": {"type": "object", "additionalProperties": {"type": "string"}}},
        },
        "podMetricsEndpoints": {
            "type": "array",
            "items": {
                "type": "object",
                "additionalProperties": False,
                "properties": {
                    "port": {"type": "string"},
                    "path": {"type": "string"},
                    "interval": DURATION,
                    "scrapeTimeout": DURATION,
                    "relabelings": {"type": "array", "items": RELABELING},
                },
            },
        },
    },
}
"""The part of a PodMonitor's spec that is in use, written from the operator's API reference, monitoring.coreos.com/v1:
no package of Debian or PyPI carries the definition itself."""

Everything = dict[str, list[Manifest]]


@pytest.fixture(scope="module")
def everything() -> Everything:
    """The manifests of each variant."""
    return {variant: build(KUBERNETES / variant) for variant in VARIANTS}


@pytest.fixture(scope="module")
def base(everything: Everything) -> list[Manifest]:
    """Return the manifests for operators."""
    return everything["base"]


@pytest.fixture(scope="module")
def container(base: list[Manifest]) -> dict[str, Any]:
    """The one container of the pod."""
    (found,) = one(base, "DaemonSet")["spec"]["template"]["spec"]["containers"]
    return dict(found)


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
@pytest.mark.parametrize("variant", VARIANTS)
def test_the_api_takes_every_manifest(everything: Everything, variant: str, version: str) -> None:
    of_kubernetes = [each for each in everything[variant] if "monitoring.coreos.com" not in each["apiVersion"]]
    assert len(of_kubernetes) == len(everything[variant]) - 1
    for manifest in of_kubernetes:
        kubernetes_validate.validate(manifest, version, strict=True)


def test_the_schemas_see_a_misspelt_key(base: list[Manifest]) -> None:
    wrong = json.loads(json.dumps(one(base, "DaemonSet")).replace("readOnlyRootFilesystem", "readOnlyRootFileSystem"))
    with pytest.raises(kubernetes_validate.ValidationError, match="readOnlyRootFileSystem"):
        kubernetes_validate.validate(wrong, NEWEST, strict=True)


def test_the_operator_takes_the_pod_monitor(base: list[Manifest]) -> None:
    monitor = one(base, "PodMonitor")
    jsonschema.validate(monitor["spec"], POD_MONITOR)
    assert monitor.keys() == {"apiVersion", "kind", "metadata", "spec"}


@pytest.mark.parametrize("variant", VARIANTS)
def test_kubectl_makes_the_same_of_it(everything: Everything, variant: str) -> None:
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("kubectl is not installed")
    done = subprocess.run([kubectl, "kustomize", KUBERNETES / variant], capture_output=True, text=True, check=True)
    key = lambda manifest: manifest["kind"]  # noqa: E731
    assert sorted(yaml.safe_load_all(done.stdout), key=key) == sorted(everything[variant], key=key)


def test_an_image_may_be_named_by_its_digest(tmp_path: Path) -> None:
    shutil.copytree(BASE, tmp_path / "base")
    path, digest = tmp_path / "base/kustomization.yaml", f"sha256:{'0' * 64}"
    path.write_text(re.sub("newTag: .*", f"digest: {digest}", path.read_text()))
    (container,) = one(build(path.parent), "DaemonSet")["spec"]["template"]["spec"]["containers"]
    assert container["image"] == f"registry.example/probed@{digest}"


def test_only_nodes_with_an_architecture_of_the_package_run_a_pod(base: list[Manifest]) -> None:
    pod = one(base, "DaemonSet")["spec"]["template"]["spec"]
    required = pod["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    (term,) = required["nodeSelectorTerms"]
    (of_package,) = re.findall("^Architecture: (.*)$", (ROOT / "packaging/debian/control").read_text(), re.MULTILINE)
    assert pod["nodeSelector"] == {"kubernetes.io/os": "linux"}
    assert term == {"matchExpressions": [{"key": "kubernetes.io/arch", "operator": "In", "values": of_package.split()}]}


def test_the_variant_for_selinux_only_adds_the_type(everything: Everything) -> None:
    base, selinux = (
        copy.deepcopy(one(everything[variant], "DaemonSet"))["spec"]["template"]["spec"]
        for variant in ("base", "selinux")
    )
    assert selinux["securityContext"].pop("seLinuxOptions") == {"type": "spc_t"}
    assert selinux == base


def test_every_file_of_the_base_is_applied() -> None:
    named = yaml.safe_load((BASE / "kustomization.yaml").read_text())["resources"]
    assert sorted([*named, "kustomization.yaml"]) == sorted(path.name for path in BASE.iterdir())


def test_the_container_may_have_two_capabilities_and_no_more(container: dict[str, Any]) -> None:
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"], "add": ["BPF", "PERFMON"]}


def test_the_pod_is_not_root_and_shares_no_namespace_of_the_host(base: list[Manifest]) -> None:
    pod = one(base, "DaemonSet")["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert not {"hostPID", "hostNetwork", "hostIPC"} & pod.keys()


def test_nothing_of_the_host_can_be_written(base: list[Manifest], container: dict[str, Any]) -> None:
    volumes = one(base, "DaemonSet")["spec"]["template"]["spec"]["volumes"]
    of_host = {volume["name"]: volume["hostPath"]["path"] for volume in volumes if "hostPath" in volume}
    assert sorted(of_host.values()) == ["/sys/fs/cgroup", "/sys/kernel/btf", "/var/log/containers", "/var/log/pods"]
    read_only = {mount["name"] for mount in container["volumeMounts"] if mount.get("readOnly")}
    assert of_host.keys() <= read_only
    assert container["securityContext"]["readOnlyRootFilesystem"] is True


def test_the_pod_has_no_token(base: list[Manifest]) -> None:
    pod = one(base, "DaemonSet")["spec"]["template"]["spec"]
    assert pod["serviceAccountName"] == one(base, "ServiceAccount")["metadata"]["name"]
    assert (pod["automountServiceAccountToken"], one(base, "ServiceAccount")["automountServiceAccountToken"]) == (
        False,
        False,
    )


def test_everything_selects_the_pods(base: list[Manifest]) -> None:
    labels = one(base, "DaemonSet")["spec"]["template"]["metadata"]["labels"]
    policy, monitor = one(base, "NetworkPolicy")["spec"], one(base, "PodMonitor")["spec"]
    assert one(base, "DaemonSet")["spec"]["selector"]["matchLabels"] == labels
    assert policy["podSelector"]["matchLabels"] == monitor["selector"]["matchLabels"] == labels


def test_everything_means_the_port_on_which_probed_listens(base: list[Manifest], container: dict[str, Any]) -> None:
    (port,) = container["ports"]
    (address,) = (each.partition("=")[2] for each in container["args"] if each.startswith("--web.listen-address="))
    assert parse_address(address).port == port["containerPort"]
    (rule,) = one(base, "NetworkPolicy")["spec"]["ingress"]
    (endpoint,) = one(base, "PodMonitor")["spec"]["podMetricsEndpoints"]
    probes = {container[f"{kind}Probe"]["httpGet"]["port"] for kind in ("startup", "liveness", "readiness")}
    assert {rule["ports"][0]["port"], endpoint["port"], *probes} == {port["name"]}


def test_the_configuration_is_one(base: list[Manifest], tmp_path: Path) -> None:
    text = one(base, "ConfigMap")["data"]["probed.yaml"]
    site = tmp_path / "probed.yaml"
    site.write_text(text.replace("/usr/share/probed/probes", str(ROOT / "probes")))
    assert run_to_its_end("check", str(site))[0] == 0


def test_the_seccomp_profile_names_calls_that_there_are_and_lets_bpf_through() -> None:
    profile = json.loads((KUBERNETES / "localhost-seccomp" / "probed.json").read_text())
    assert profile["defaultAction"] == "SCMP_ACT_ERRNO"
    rule, *_ = profile["syscalls"]
    native = seccomp.Arch()
    assert [name for name in rule["names"] if seccomp.resolve_syscall(native, name) < 0] == []
    assert rule["names"] == sorted(set(rule["names"]))
    assert {"bpf", "capset", "execve", "seccomp", "landlock_restrict_self"} <= set(rule["names"])


def test_the_seccomp_profile_allows_nothing_that_the_runtime_s_default_denies() -> None:
    profile = json.loads((KUBERNETES / "localhost-seccomp" / "probed.json").read_text())
    allowed = {name: rule for rule in profile["syscalls"] for name in rule["names"]}
    assert not DENIED & allowed.keys()
    assert {"userfaultfd", "keyctl", "setns", "unshare"} <= DENIED
    assert not {"ptrace", "personality"} & allowed.keys()
    (flags,) = allowed["clone"]["args"]
    assert flags == {"index": 0, "value": NEW_NAMESPACES, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}
    assert (allowed["clone3"]["action"], allowed["clone3"]["errnoRet"]) == ("SCMP_ACT_ERRNO", errno.ENOSYS)
    assert [name for name, rule in allowed.items() if rule["action"] == "SCMP_ACT_ERRNO"] == ["clone3"]


def test_the_list_of_denied_calls_names_calls_that_there_are() -> None:
    native = seccomp.Arch()
    assert [name for name in DENIED if seccomp.resolve_syscall(native, name) < 0] == []


def test_the_image_starts_the_launcher_with_two_capabilities() -> None:
    text = (KUBERNETES / "Containerfile").read_text().replace("\\\n", " ")
    lines = {line.split()[0]: line.partition(" ")[2] for line in text.splitlines() if line and line[0].isupper()}
    launcher, *arguments = json.loads(lines["ENTRYPOINT"])
    assert arguments == [
        "--inh-caps=+bpf,+perfmon",
        "--ambient-caps=+bpf,+perfmon",
        "--no-new-privs",
        "/usr/bin/probed",
    ]
    assert shlex.join(["setcap", "cap_bpf,cap_perfmon+ep", launcher]) in lines["RUN"]
    assert lines["USER"] == "9788:9788"

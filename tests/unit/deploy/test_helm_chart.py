# SPDX-License-Identifier: Apache-2.0
"""The chart of deploy/helm as Helm's own library renders it, held against deploy/kubernetes and the API's schemas."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import helm_python as helm
import kubernetes_validate
import pytest
import yaml

from probed import __version__
from support.kubernetes_manifests import BASE, KUBERNETES, Manifest, build, one
from support.running_daemon import ROOT, run_to_its_end

CHART: Final = ROOT / "deploy/helm/probed"
OLDEST: Final = "1.25"
TLS: Final = {"tls_server_config": {"cert_file": "tls.crt", "key_file": "tls.key"}}
PASSWORD: Final = {"basic_auth_users": {"prometheus": "$2y$10$X0h1gDsPszWURQaxFh.zoubFi6DXncSjhoQNJgRrnGs7EsimhC7zG"}}
CLIENTS: Final = {"client_ca_file": "ca.crt", "client_auth_type": "RequireAndVerifyClientCert"}

Values = Mapping[str, Any]

EVERYTHING: Final[Values] = {
    "image": {"digest": f"sha256:{'0' * 64}"},
    "imagePullSecrets": [{"name": "registry"}],
    "web": {"tlsSecret": "probed-tls", "config": TLS},
    "affinity": {"nodeAffinity": {}},
    "podAnnotations": {"a": "b"},
    "seLinuxOptions": {"type": "spc_t"},
    "seccompProfile": {"type": "Localhost", "localhostProfile": "probed.json"},
    "networkPolicy": {"namespaces": ["a", "b"]},
    "monitor": {"kind": "ServiceMonitor", "labels": {"release": "x"}, "endpoint": {"scheme": "https"}},
    "prometheusRule": {"create": True, "labels": {"release": "x"}},
    "dashboards": {"create": True},
}
VARIANTS: Final[Mapping[str, Values]] = {
    "defaults": {},
    "everything": EVERYTHING,
    "a class of the cluster": {"priorityClass": {"create": False, "name": "system-node-critical"}},
    "nothing beside": {"monitor": {"kind": "None"}, "networkPolicy": {"create": False}},
}


def render(values: Values, release: str = "probed") -> list[Manifest]:
    """Return the manifests of a release in the namespace `probed`."""
    with helm.Chart.load(CHART) as chart:
        texts = chart.render(dict(values), name=release, namespace="probed")
    manifests = [text for name, text in texts.items() if name.endswith(".yaml")]
    return [each for text in manifests for each in yaml.safe_load_all(text) if each]


def pod(manifests: list[Manifest]) -> dict[str, Any]:
    return dict(one(manifests, "DaemonSet")["spec"]["template"]["spec"])


def without_helm(manifest: Manifest) -> Manifest:
    """Leave out the labels and fields by which Helm's objects differ from those of kustomize."""
    text = json.dumps(manifest)
    bare = json.loads(text.replace(', "app.kubernetes.io/instance": "probed"', ""))
    labels = bare["metadata"].get("labels", {})
    for name in ("app.kubernetes.io/managed-by", "helm.sh/chart"):
        labels.pop(name, None)
    if bare["kind"] == "DaemonSet":
        del bare["spec"]["template"]["metadata"]["annotations"]["checksum/config"]
        del bare["spec"]["template"]["spec"]["containers"][0]["imagePullPolicy"]
    return dict(bare)


def without_own_labels(manifest: Manifest) -> Manifest:
    bare = copy.deepcopy(manifest)
    bare["metadata"].pop("labels", None)
    if bare["kind"] == "ConfigMap":
        site = yaml.safe_load(bare["data"]["probed.yaml"])
        bare["data"]["probed.yaml"] = site | {
            "probes": {name: changes or {} for name, changes in site["probes"].items()}
        }
    return bare


def test_the_defaults_are_the_manifests_of_kustomize() -> None:
    helms = {each["kind"]: without_own_labels(without_helm(each)) for each in render({})}
    kustomizes = {each["kind"]: without_own_labels(each) for each in build(BASE)}
    del kustomizes["Namespace"]
    assert helms == kustomizes


@pytest.mark.parametrize("version", [OLDEST, kubernetes_validate.latest_version()])
@pytest.mark.parametrize("values", VARIANTS.values(), ids=VARIANTS)
def test_the_api_takes_every_manifest(values: Values, version: str) -> None:
    manifests = render(values, "other")
    assert all("other-probed" in each["metadata"]["name"] for each in manifests if each["kind"] != "PriorityClass")
    for manifest in manifests:
        if "monitoring.coreos.com" not in manifest["apiVersion"]:
            kubernetes_validate.validate(manifest, version, strict=True)


def test_helm_finds_no_fault() -> None:
    messages = helm.lint(CHART)["messages"]
    assert [message["error"] for message in messages] == ["icon is recommended"]


def test_a_misspelt_value_is_refused() -> None:
    with pytest.raises(helm.HelmError, match="tolerationz"):
        render({"tolerationz": []})


def test_the_configuration_is_one(tmp_path: Path) -> None:
    text = one(render({}), "ConfigMap")["data"]["probed.yaml"]
    site = tmp_path / "probed.yaml"
    site.write_text(text.replace("/usr/share/probed/probes", str(ROOT / "probes")))
    assert run_to_its_end("check", str(site))[0] == 0


def test_a_digest_names_the_image_without_a_tag() -> None:
    assert pod(render(EVERYTHING))["containers"][0]["image"] == f"registry.example/probed@sha256:{'0' * 64}"


def test_the_type_of_selinux_is_that_of_the_variant_of_kustomize() -> None:
    of_kustomize = pod(build(KUBERNETES / "selinux"))
    of_helm = pod(render({"seLinuxOptions": {"type": "spc_t"}}))
    assert of_helm["securityContext"] == of_kustomize["securityContext"]


@pytest.mark.parametrize(
    ("config", "check"),
    [
        ({}, {"httpGet": {"path": "/-/ready", "port": "metrics"}}),
        (TLS, {"httpGet": {"path": "/-/ready", "port": "metrics", "scheme": "HTTPS"}}),
        (PASSWORD, {"tcpSocket": {"port": "metrics"}}),
        (TLS | PASSWORD, {"tcpSocket": {"port": "metrics"}}),
        ({"tls_server_config": TLS["tls_server_config"] | CLIENTS}, {"tcpSocket": {"port": "metrics"}}),
        (
            {"tls_server_config": TLS["tls_server_config"] | CLIENTS | {"client_auth_type": "VerifyClientCertIfGiven"}},
            {"httpGet": {"path": "/-/ready", "port": "metrics", "scheme": "HTTPS"}},
        ),
    ],
)
def test_the_kubelet_probes_as_far_as_it_may(config: Values, check: Values) -> None:
    (container,) = pod(render({"web": {"config": config}}))["containers"]
    probe = container["readinessProbe"]
    assert {key: probe[key] for key in probe.keys() & {"httpGet", "tcpSocket"}} == check


def test_the_web_configuration_and_its_certificate_lie_beside_the_site_configuration() -> None:
    manifests = render({"web": {"config": TLS, "tlsSecret": "probed-tls"}})
    secret = one(manifests, "Secret")
    assert yaml.safe_load(secret["stringData"]["web.yaml"]) == TLS
    (volume,) = [each for each in pod(manifests)["volumes"] if each["name"] == "configuration"]
    assert volume["projected"]["sources"] == [
        {"configMap": {"name": "probed"}}, {"secret": {"name": "probed"}}, {"secret": {"name": "probed-tls"}}
    ]  # fmt: skip
    assert volume["projected"]["defaultMode"] == 0o440
    assert pod(manifests)["securityContext"]["fsGroup"] == pod(manifests)["securityContext"]["runAsGroup"]
    assert "--web.config.file=/etc/probed/web.yaml" in pod(manifests)["containers"][0]["args"]


def test_the_rules_are_those_of_prometheus() -> None:
    files = sorted((ROOT / "deploy/prometheus/rules").glob("*.yml"))
    groups = [group for file in files for group in yaml.safe_load(file.read_text())["groups"]]
    rules = one(render({"prometheusRule": {"create": True}}), "PrometheusRule")
    assert rules["spec"] == {"groups": groups}


def test_the_dashboards_are_those_of_grafana() -> None:
    dashboards = {path.name: path.read_text() for path in (ROOT / "deploy/grafana/dashboards").glob("*.json")}
    manifests = render({"dashboards": {"create": True}})
    found = [each for each in manifests if "grafana_dashboard" in each["metadata"].get("labels", {})]
    texts = {name: text for each in found for name, text in each["data"].items()}
    assert {name: text.strip() for name, text in texts.items()} == {
        name: text.strip() for name, text in dashboards.items()
    }


def test_everything_selects_the_pods_of_its_release() -> None:
    for kind in ("PodMonitor", "ServiceMonitor"):
        manifests = render({"monitor": {"kind": kind}}, "other")
        labels = one(manifests, "DaemonSet")["spec"]["template"]["metadata"]["labels"]
        assert one(manifests, "DaemonSet")["spec"]["selector"]["matchLabels"] == labels
        assert one(manifests, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"] == labels
        assert one(manifests, kind)["spec"]["selector"]["matchLabels"] == labels
    service = one(manifests, "Service")
    assert service["spec"]["selector"] == labels
    assert labels.items() <= service["metadata"]["labels"].items()


def test_a_service_monitor_and_a_pod_monitor_scrape_alike() -> None:
    pods, services = (one(render({"monitor": {"kind": kind}}), kind) for kind in ("PodMonitor", "ServiceMonitor"))
    (of_pod,), (of_service,) = pods["spec"]["podMetricsEndpoints"], services["spec"]["endpoints"]
    assert of_service["relabelings"][1].pop("regex") == of_pod["relabelings"][1].pop("regex") + "|service"
    assert of_pod == of_service


def test_the_chart_has_the_version_of_the_daemon() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert (chart["version"], chart["appVersion"]) == (__version__, __version__)

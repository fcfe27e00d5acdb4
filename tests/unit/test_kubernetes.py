"""deploy/kubernetes agrees with the image, with the code's defaults, and with the systemd unit."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry

from lastlogin_consumer.service import _DISCONNECT_DEADLINE_S
from lastlogin_consumer.settings import ConsumerSettings, MetricsSettings
from lastlogin_service.endpoint import Endpoint
from lastlogin_service.listening import LIVEZ
from lastlogin_service.settings import load
from lastlogin_stack.layout import PROJECT_ROOT


DEPLOY = PROJECT_ROOT / "deploy"
MANIFEST = (DEPLOY / "kubernetes/consumer.yaml").read_text("utf-8")
OBJECTS: dict[str, dict[str, Any]] = {each["kind"]: each for each in yaml.safe_load_all(MANIFEST)}
POD: dict[str, Any] = OBJECTS["Deployment"]["spec"]["template"]
[CONTAINER] = POD["spec"]["containers"]


@pytest.fixture
def settings(tmp_path: Path) -> ConsumerSettings:
    """What a pod is started with."""
    file = tmp_path / "consumer.toml"
    file.write_text(OBJECTS["ConfigMap"]["data"]["consumer.toml"], "utf-8")
    return load(ConsumerSettings, file, {})


def test_probes_reach_the_endpoint(settings: ConsumerSettings) -> None:
    """At the port of the settings, not on the loopback alone, and at paths that are served; so does Prometheus."""
    endpoint = Endpoint(settings.metrics, "x", CollectorRegistry(), live=tuple, ready=tuple)
    served = {resource.canonical for resource in endpoint._runner.app.router.resources()}
    [port] = CONTAINER["ports"]
    annotations = POD["metadata"]["annotations"]
    probes = {kind: CONTAINER[f"{kind}Probe"]["httpGet"] for kind in ("startup", "liveness", "readiness")}

    assert ("0.0.0.0", MetricsSettings().port) == (settings.metrics.address, settings.metrics.port)
    assert settings.metrics.port == port["containerPort"] == int(annotations["prometheus.io/port"])
    assert {port["name"]} == {probe["port"] for probe in probes.values()}
    assert {probe["path"] for probe in probes.values()} | {annotations["prometheus.io/path"]} == served


def test_an_outage_restarts_nobody() -> None:
    """Only whether it lives decides on a restart; a process that hangs has as long as under systemd."""
    liveness = CONTAINER["livenessProbe"]

    assert LIVEZ == liveness["httpGet"]["path"] == CONTAINER["startupProbe"]["httpGet"]["path"]
    assert _unit("WatchdogSec") == str(liveness["periodSeconds"] * liveness["failureThreshold"])


def test_a_stop_has_its_time(settings: ConsumerSettings) -> None:
    """What has been fetched is written and committed before the kill."""
    grace_s = POD["spec"]["terminationGracePeriodSeconds"]

    assert grace_s > settings.shutdown.deadline_s + 2 * _DISCONNECT_DEADLINE_S
    assert _unit("TimeoutStopSec") == str(grace_s)


def test_it_is_the_same_service() -> None:
    """The image's user and place of the settings, and the memory that the unit allows; nothing may be written."""
    dockerfile = (DEPLOY / "docker/Dockerfile.consumer").read_text("utf-8")
    security, mounts = POD["spec"]["securityContext"], CONTAINER["volumeMounts"]

    assert [f"{security['runAsUser']}:{security['runAsGroup']}"] == re.findall(
        r"^USER (\S+)$", dockerfile, re.MULTILINE
    )
    assert CONTAINER["args"] == ["--config", mounts[0]["mountPath"]]
    assert _unit("MemoryMax") + "i" == CONTAINER["resources"]["limits"]["memory"]
    assert security["runAsNonRoot"]
    assert CONTAINER["securityContext"]["readOnlyRootFilesystem"]
    assert all(mount["readOnly"] for mount in mounts)


def test_everything_means_the_same_pods() -> None:
    """Deployment, budget and the PodMonitor in the comment go by the labels that the pods have."""
    labels = POD["metadata"]["labels"]
    selectors = [OBJECTS[kind]["spec"]["selector"]["matchLabels"] for kind in ("Deployment", "PodDisruptionBudget")]
    [monitor] = yaml.safe_load_all(re.sub(r"^# ?", "", MANIFEST.partition("# ---\n")[2], flags=re.MULTILINE))

    assert [labels] * 3 == [*selectors, monitor["spec"]["selector"]["matchLabels"]]
    assert [CONTAINER["ports"][0]["name"]] == [each["port"] for each in monitor["spec"]["podMetricsEndpoints"]]
    assert monitor["spec"]["jobLabel"] in labels


def test_secrets_have_their_place(tmp_path: Path) -> None:
    """The settings in comments are accepted, and name files of the volume of secrets."""
    text = re.sub(r"^#(?=\w+ =)", "", OBJECTS["ConfigMap"]["data"]["consumer.toml"], flags=re.MULTILINE)
    [mounted] = [mount["mountPath"] for mount in CONTAINER["volumeMounts"] if mount["name"] == "secrets"]
    text, named = re.subn(f'"{mounted}/', f'"{tmp_path}/', text)
    for name in ("kafka.password", "cassandra.password"):
        (tmp_path / name).write_text("secret")
    file = tmp_path / "consumer.toml"
    file.write_text(text, "utf-8")
    settings = load(ConsumerSettings, file, {})

    assert 2 == named
    assert settings.kafka.sasl_password is not None
    assert settings.cassandra.password is not None


def _unit(key: str) -> str:
    unit = (DEPLOY / "systemd/lastlogin-consumer.service").read_text("utf-8")
    [value] = re.findall(rf"^{key}=(.+)$", unit, re.MULTILINE)
    return str(value)

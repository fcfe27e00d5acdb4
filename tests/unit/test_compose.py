"""docker-compose.yml and what it mounts, as Docker Compose itself reads it; no engine is needed for that."""

import re
import shlex
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from lastlogin_consumer.settings import ConsumerSettings
from lastlogin_ops.settings import OpsSettings
from lastlogin_producer.settings import ProducerSettings
from lastlogin_service.settings import Settings, load
from lastlogin_stack.dovecot import Account, DovecotOptions, render_configuration, render_users
from lastlogin_stack.layout import PROJECT_ROOT, Layout
from lastlogin_stack.services import ConsumerService, ProducerService, render_toml


def compose(*arguments: str) -> str:
    """Output of Docker Compose on our file: of the plugin if it is there, else of Debian's package."""
    plugin = shutil.which("docker") and subprocess.run(
        ["docker", "compose", "version"], capture_output=True, check=False
    )
    program = ["docker", "compose"] if plugin and plugin.returncode == 0 else ["docker-compose"]
    done = subprocess.run([*program, *arguments], cwd=PROJECT_ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


COMPOSE = yaml.safe_load((PROJECT_ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
ONE_SHOT = {"init-topics", "init-table", "lastlogin"}
OURS: dict[str, type[Settings]] = {
    "producer": ProducerSettings,
    "consumer": ConsumerSettings,
    "init-topics": OpsSettings,
    "lastlogin": OpsSettings,
}
DOVECOT = PROJECT_ROOT / "deploy" / "dovecot"


def dockerfile(name: str) -> Path:
    """Return where the image of a service is described."""
    build = SERVICES[name]["build"]
    return PROJECT_ROOT / build["context"] / build["dockerfile"]


def test_docker_compose_takes_the_file() -> None:
    """Docker Compose's own parser finds nothing wrong, and knows every service and volume."""
    parsed = yaml.safe_load(compose("config"))

    assert set(SERVICES) - {"lastlogin"} <= set(parsed["services"])
    assert set(COMPOSE["volumes"]) == set(parsed["volumes"])


# Where the services of the containers differ from those of the local stack, and why.
DIFFERENCES = {
    "producer": {
        "backend": "a container's host name is new with each container",
        "socket": "a volume that Dovecot mounts too; its mail user is in the socket's group",
        "spool": "a named volume",
        "kafka": "another address",
        "log": "JSON comes by itself where there is no terminal",
        "metrics": "reached by Prometheus from another container",
    },
    "consumer": {
        "kafka": "another address",
        "cassandra": "another address",
        "log": "JSON comes by itself where there is no terminal",
        "metrics": "reached by Prometheus from another container",
    },
}


@pytest.mark.parametrize(("name", "local"), [("producer", ProducerService), ("consumer", ConsumerService)])
def test_settings_are_those_of_the_local_stack(
    name: str, local: type[ProducerService | ConsumerService], tmp_path: Path
) -> None:
    """But for the sections that are listed with their reasons, a container's service has the local stack's settings."""
    file = tmp_path / "local.toml"
    file.write_text(render_toml(local(Layout(tmp_path)).settings()), encoding="utf-8")
    stack = load(OURS[name], file, {}).model_dump(mode="json")
    container = load(
        OURS[name], PROJECT_ROOT / "deploy" / f"{name}.toml", dict(SERVICES[name]["environment"])
    ).model_dump(mode="json")

    differing = {key for key in stack if stack[key] != container[key]}
    assert differing <= set(DIFFERENCES[name])
    assert container["metrics"] == {"address": "0.0.0.0", "port": 9468 if name == "producer" else 9469}


def test_every_mount_is_a_file_of_the_repository_or_a_declared_volume() -> None:
    """What a service mounts exists, and what is mounted from the repository is read-only."""
    for service in SERVICES.values():
        for mount in service.get("volumes", []):
            source, *rest = mount.split(":")
            if source.startswith("."):
                assert (PROJECT_ROOT / source).exists(), mount
                assert rest[-1] == "ro", mount
            else:
                assert source in COMPOSE["volumes"], mount


def test_every_published_port_is_for_this_machine_only() -> None:
    """Ports are published on 127.0.0.1."""
    for service in SERVICES.values():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))


def test_images_are_pinned() -> None:
    """Every image that is not built here names a version."""
    for service in SERVICES.values():
        assert re.search(r":v?\d|:local$", service["image"])


@pytest.mark.parametrize("name", [name for name in SERVICES if name not in ONE_SHOT])
def test_a_service_that_runs_on_has_a_health_check_a_limit_and_a_restart_policy(name: str) -> None:
    """It says how it is seen to be healthy, how much memory it may take, and that it comes back."""
    service = SERVICES[name]
    assert "healthcheck" in service or "\nHEALTHCHECK " in dockerfile(name).read_text(encoding="utf-8")
    assert service["mem_limit"]
    assert service["restart"] == "unless-stopped"


@pytest.mark.parametrize("name", [name for name in SERVICES if "build" in SERVICES[name]])
def test_what_a_dockerfile_copies_exists_and_is_let_through(name: str) -> None:
    """Each COPY from the build context names something of the repository that .dockerignore lets through."""
    allowed = {line[1:] for line in (PROJECT_ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    for line in dockerfile(name).read_text(encoding="utf-8").splitlines():
        if line.startswith("COPY ") and "--from" not in line:
            for source in shlex.split(line)[1:-1]:
                assert (PROJECT_ROOT / source).exists(), line
                assert source.split("/")[0] in allowed, line


@pytest.mark.parametrize("name", ["producer", "consumer"])
def test_our_images_run_an_installed_command_without_root(name: str) -> None:
    """The entry point is one of the project's scripts, and the last user of the image is a number above 0."""
    text = dockerfile(name).read_text(encoding="utf-8")
    scripts = tomllib.loads((PROJECT_ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]
    assert re.findall(r'^ENTRYPOINT \["([\w-]+)"\]$', text, re.MULTILINE)[-1] in scripts
    assert re.findall(r"^USER (\d+):\d+$", text, re.MULTILINE) == ["10001"]


@pytest.mark.parametrize("name", OURS)
def test_the_settings_of_a_service_are_known_and_valid(name: str) -> None:
    """The real settings take the mounted file together with the service's environment."""
    cls, service = OURS[name], SERVICES[name]
    environ = dict(service["environment"])
    file = next(mount.split(":")[0] for mount in service["volumes"] if "toml" in mount)
    settings = load(cls, PROJECT_ROOT / file, environ).model_dump(mode="json")
    assert settings["kafka"]["bootstrap_servers"] == ["kafka:9092"]
    if "cassandra" in settings:
        assert settings["cassandra"]["contact_points"] == ["cassandra"]


def test_dovecot_reads_its_configuration() -> None:
    """The Dovecot of this machine takes the container's configuration and knows the plugin's settings."""
    said = subprocess.run(
        ["doveconf", "-n", "-c", str(DOVECOT / "dovecot.conf")], capture_output=True, text=True, check=False
    )
    assert said.returncode == 0, said.stderr
    assert "last_login_dict = proxy:/run/lastlogin/dict.sock:statsdb" in said.stdout


def test_dovecot_is_told_the_same_as_in_the_local_stack() -> None:
    """But for where things lie, whom mail belongs to and where it listens, both configurations say the same."""
    local = render_configuration(Layout(Path("/x")), DovecotOptions(), Account(None, 1, 1))
    place = re.compile(
        r"#|login_trusted_networks|base_dir|state_dir|log_path|mail_location|mail_uid|mail_gid|args|last_login_dict|address|port"
    )

    def said(text: str) -> list[str]:
        return [line.strip() for line in text.splitlines() if line.strip() and not place.match(line.strip())]

    assert said(local) == said((DOVECOT / "dovecot.conf").read_text(encoding="utf-8"))
    assert render_users(DovecotOptions()) == (DOVECOT / "users").read_text(encoding="utf-8")


def test_prometheus_and_grafana_find_what_they_read() -> None:
    """Targets are services with the port that the service publishes; Grafana asks the service `prometheus`."""
    deploy = PROJECT_ROOT / "deploy"
    scraped = yaml.safe_load((deploy / "prometheus" / "prometheus.yml").read_text(encoding="utf-8"))["scrape_configs"]
    for name in ("producer", "consumer"):
        target = f"{name}:{SERVICES[name]['ports'][0].split(':')[-1]}"
        own = {"targets": [target], "labels": {"cluster": "local"}}
        assert {"job_name": f"lastlogin-{name}", "static_configs": [own]} in scraped
    sources = deploy / "grafana" / "provisioning" / "datasources" / "prometheus.yml"
    assert yaml.safe_load(sources.read_text(encoding="utf-8"))["datasources"][0]["url"] == "http://prometheus:9090"

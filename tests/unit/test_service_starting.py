"""The first line of a service's log: all that support asks for first, and nothing that is secret."""

import json
import os
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from lastlogin_consumer.settings import ConsumerSettings
from lastlogin_producer.settings import ProducerSettings
from lastlogin_service.logs import ServiceSettings
from lastlogin_service.settings import load
from lastlogin_service.starting import tell_starting


PASSWORD, NAME, CUSTOMER = "hush-hush", "login-name", "192.0.2.77"


def told(name: str, cls: type[ServiceSettings], file: Path | None, **variables: str) -> dict[str, Any]:
    """The line of a service with a login to Kafka by TLS, as JSON would have it."""
    prefix = str(cls.model_config.get("env_prefix"))
    login = {"BOOTSTRAP_SERVERS": "k1:9093,k2:9093", "SECURITY_PROTOCOL": "SASL_SSL", "SASL_USERNAME": NAME}
    variables |= {f"KAFKA__{key}": value for key, value in login.items()} | {"KAFKA__SASL_PASSWORD": PASSWORD}
    with capture_logs() as lines:
        tell_starting(name, load(cls, file, {prefix + key: value for key, value in variables.items()}), file)
    [line] = lines
    assert not [each for each in (PASSWORD, NAME, CUSTOMER) if each in json.dumps(line)]
    decoded: dict[str, Any] = json.loads(json.dumps(line))
    return decoded


def test_producer(tmp_path: Path) -> None:
    """It tells version, host, process, system, libraries, file and what the producer does; of rules only how many."""
    file = tmp_path / "producer.toml"
    file.write_text(f'backend = "mail1"\n[[rules]]\nnetworks = ["{CUSTOMER}"]\naction = "drop"\n')
    line = told("lastlogin-producer", ProducerSettings, file)

    assert ("starting", "info", version("lastlogin")) == (line["action"], line["log_level"], line["version"])
    assert (os.getpid(), os.uname().nodename, str(file)) == (line["pid"], line["host"], line["file"])
    assert f"{os.uname().release} {os.uname().machine}" == line["kernel"]
    assert line["python"].startswith("3.")
    assert line["system"]
    libraries = line["libraries"]
    assert version("aiokafka") == libraries["aiokafka"]
    assert {"fastavro", "murmurhash2", "openssl", "sqlite", "uvloop"} < set(libraries)
    assert not {"cassandra-driver", "ruff", "rich"} & set(libraries)
    settings = line["settings"]
    assert ("mail1", ["k1:9093", "k2:9093"]) == (settings["backend"], settings["kafka.bootstrap_servers"])
    assert (["statsdb"], 1, "/var/lib/lastlogin/spool") == (
        settings["dicts"],
        settings["rules"],
        settings["spool.directory"],
    )


def test_consumer() -> None:
    """The consumer's has its group, servers, table and limits; without a file the environment is named."""
    login = {"CASSANDRA__CONTACT_POINTS": "c1", "CASSANDRA__USERNAME": NAME, "CASSANDRA__PASSWORD": PASSWORD}
    line = told("lastlogin-consumer", ConsumerSettings, None, **login)

    assert None is line["file"]
    assert line["event"].endswith("configured by the environment")
    assert "cassandra-driver" in line["libraries"]
    assert "murmurhash2" not in line["libraries"]
    settings = line["settings"]
    assert (["c1"], "dovecot_stats") == (settings["cassandra.contact_points"], settings["cassandra.table"])
    assert ("lastlogin-consumer", 0.2, 50_000, None) == (
        settings["group"],
        settings["linger_s"],
        settings["window.max_records"],
        settings["ttl_s"],
    )


def test_a_system_that_does_not_say_what_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without os-release it is the kernel's name; a library that lacks is told as missing. Neither stops a start."""

    def nothing() -> dict[str, str]:
        raise OSError

    monkeypatch.setattr("platform.freedesktop_os_release", nothing)
    monkeypatch.setattr("lastlogin_service.starting.requires", lambda _: ["no-such-library>=1", ">=what"])
    line = told("lastlogin-producer", ProducerSettings, None)

    assert "Linux" == line["system"]
    assert "missing" == line["libraries"]["no-such-library"]

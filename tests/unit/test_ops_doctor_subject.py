"""Whose settings `lastlogin doctor` looks at."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from lastlogin_ops.doctor.subject import Subject, configuration


KAFKA = {"KAFKA__BOOTSTRAP_SERVERS": "k:9092", "CASSANDRA__CONTACT_POINTS": "c"}


def configured(
    monkeypatch: pytest.MonkeyPatch, command: Mapping[str, str], consumer: Mapping[str, str]
) -> tuple[Subject | None, list[str]]:
    """Read settings of the command and of the consumer from the environment."""
    for name, value in ({f"CONSUMER_{name}": value for name, value in consumer.items()} | dict(command)).items():
        monkeypatch.setenv(f"LASTLOGIN_{name}", value)
    subject, _, lines = configuration(None, None)
    return subject, [f"{line.check} {line.level} {line.found}" for line in lines]


def test_the_consumers_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """They go before the command's, and what both say otherwise is told by key."""
    other = {"LAG__GROUP": "g", "COLUMNS__USER": "userid", "TOPICS__EVENTS": "e", "CASSANDRA__TABLE": "t"}
    subject, lines = configured(monkeypatch, KAFKA | other, KAFKA | {"TTL_S": "60"})

    assert subject is not None
    assert (True, "lastlogin-consumer", 60) == (
        subject.is_consumer,
        subject.group,
        subject.table and subject.table.ttl_s,
    )
    assert [
        "configuration ok environment",
        "configuration.consumer ok environment",
        "configuration.same warning topics.events is e, the consumer's topics.events is lastlogin.events",
        "configuration.same warning lag.group is g, the consumer's group is lastlogin-consumer",
        "configuration.same warning cassandra.table is t, the consumer's cassandra.table is dovecot_stats",
        "configuration.same warning ttl_s is not set, the consumer's ttl_s is 60",
        "configuration.same warning columns.user is userid, the consumer's columns.user is user",
    ] == lines


def test_the_command_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the consumer's settings the command's are looked at, and that is said."""
    subject, [_, said] = configured(monkeypatch, KAFKA | {"FUTURE_LIMIT_S": "7"}, {})

    assert subject is not None
    assert (False, "lastlogin-consumer", 7) == (subject.is_consumer, subject.group, subject.future_limit_s)
    assert "configuration.consumer warning the consumer's settings are not here" in said


def test_the_consumer_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host of the consumer needs no settings of the command; bad ones are told, and the consumer's looked at."""
    subject, lines = configured(monkeypatch, {"LAG__GROOP": "g"}, KAFKA)

    assert subject is not None
    assert subject.is_consumer
    assert ["configuration error", "configuration.consumer ok"] == [" ".join(line.split()[:2]) for line in lines]


def test_a_consumers_file_that_may_not_be_looked_at(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It is an error that names the file, and no defect."""
    file = tmp_path / "consumer.toml"
    file.symlink_to(file)
    monkeypatch.setattr("lastlogin_ops.doctor.subject.CONSUMER_FILE", file)
    _, lines = configured(monkeypatch, KAFKA, {})

    assert any(line.startswith(f"configuration.consumer error {file}: cannot be read: ") for line in lines)


def test_nothing_that_can_be_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With neither there is nothing to look at; a file that cannot be read is somebody else's."""
    monkeypatch.setenv("LASTLOGIN_LAG__GROOP", "g")
    subject, _, lines = configuration(None, tmp_path)

    assert subject is None
    [unreadable] = [line for line in lines if line.found.startswith(f"{tmp_path}: cannot be read")]
    assert "ask the doctor as root, or as the user that the file is for" == unreadable.do

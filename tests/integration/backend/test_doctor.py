"""The doctor on a good backend, and on more than ten that are not."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from confluent_kafka import Consumer, TopicPartition

from tests.integration.backend.conftest import MAIL_ID, Backend
from tests.support.process import halted


def replaced(old: str, new: str) -> Callable[[str], str]:
    """A change of Dovecot's configuration that must change something."""

    def mutate(text: str) -> str:
        assert old in text
        return text.replace(old, new)

    return mutate


def records(backend: Backend, topic: str) -> list[bytes]:
    """Keys of everything on a topic."""
    reader = Consumer({"bootstrap.servers": backend.kafka.plain, "group.id": "x", "enable.auto.commit": False})
    try:
        keys = []
        for number in (0, 1):
            where = TopicPartition(topic, number, 0)
            low, high = reader.get_watermark_offsets(where, timeout=10)
            reader.assign([where])
            keys += [record.key() for record in reader.consume(high - low, timeout=10)] if high > low else []
        return [key for key in keys if key is not None]
    finally:
        reader.close()


def test_a_good_backend(backend: Backend) -> None:
    """Everything is ok within seconds; the one thing that was written is a login of the doctor on the events topic."""
    begun = time.monotonic()
    told = backend.doctor()
    took = time.monotonic() - begun

    assert {} == told.levels()
    assert (0, "ok") == (told.code, told.level)
    assert took < 20
    assert {
        "configuration", "backend", "socket.listening", "socket.rights", "spool.directory", "spool.space", "spool.sync",
        "spool.age", "spool.level", "spool.set_aside", "kafka.resolve", "kafka.connect", "kafka.login", "kafka.topics",
        "kafka.write", "kafka.replicas", "dovecot.plugin", "dovecot.dict", "dovecot.key", "dovecot.precision",
        "round_trip", "clock",
    } == set(told.lines)  # fmt: skip
    assert "within 1 s of Kafka's" in told.lines["clock"][0]["found"]
    assert "`doveadm dict set`" in told.lines["round_trip"][0]["found"]
    assert {b"lastlogin-doctor"} == set(records(backend, backend.settings["TOPICS__EVENTS"]))
    assert [] == records(backend, backend.settings["TOPICS__QUARANTINE"])
    files = ("control.sock", "spool.lock", *(f"spool.sqlite{end}" for end in ("", "-last", "-shm", "-wal")))
    assert sorted(files) == sorted(path.name for path in (backend.directory / "spool").iterdir())


def test_for_people(backend: Backend) -> None:
    """Without --json it is a line for each check; coloured nowhere but on a terminal."""
    file = backend.directory / "dovecot.conf"
    file.write_text(backend.dovecot)
    ended = backend.command("doctor", "--dovecot-config", str(file))

    assert (0, "") == (ended.code, ended.err)
    assert "\x1b" not in ended.out
    assert {"ok"} == {line.split()[0] for line in ended.out.splitlines()}
    assert "ok       backend: mail1\n" in ended.out


def test_dovecot_2_4(backend: Backend, tmp_path: Path) -> None:
    """Its configuration is read too; its doveadm wants another form, so that a client of the doctor's own logs in."""
    text = f"""\
# 2.4.1-4 (7d8c0e5759): /etc/dovecot/dovecot.conf
last_login_dict {{
  dict proxy {{
    name = statsdb
    socket_path = {backend.settings["SOCKET__PATH"]}
  }}
}}
last_login_key = last-login/%{{service}}/%{{user}}/%{{remote_ip}}
last_login_precision = us
mail_plugins {{
  last_login = yes
}}
"""
    (tmp_path / "doveconf.out").write_text(text)
    doveconf = tmp_path / "doveconf"
    doveconf.write_text(f"#!/bin/sh\nexec cat {tmp_path}/doveconf.out\n")
    doveconf.chmod(0o755)
    ended = backend.command("doctor", "--doveconf", str(doveconf))

    assert 0 == ended.code
    assert {"ok"} == {line.split()[0] for line in ended.out.splitlines()}
    assert "ok       round_trip: a login was acknowledged in " in ended.out


def test_a_doveconf_that_fails(backend: Backend, tmp_path: Path) -> None:
    """What it complains of is told as a warning, and the rest is looked at."""
    (tmp_path / "dovecot.conf").write_text("nonsense = 1\n")
    ended = backend.command("doctor", "--dovecot-config", str(tmp_path / "dovecot.conf"))

    [line] = [line for line in ended.out.splitlines() if not line.startswith("ok")]
    assert line.startswith("warning  dovecot: /")
    assert "Unknown setting: nonsense" in line
    assert 0 == ended.code


@pytest.mark.parametrize(
    ("change", "check", "level", "found"),
    [
        (("last_login_precision = ms", "last_login_precision = s"), "dovecot.precision", "warning", "precision is s:"),
        (("  last_login_precision = ms\n", ""), "dovecot.precision", "warning", "precision is s (its default)"),
        (
            ("protocol lmtp {\n  mail_plugins = $mail_plugins last_login\n}\n", ""),
            "dovecot.plugin",
            "warning",
            "not in mail_plugins of lmtp",
        ),
        (
            ("protocol imap {\n  mail_plugins = $mail_plugins last_login\n}\n", ""),
            "dovecot.plugin",
            "error",
            "not in mail_plugins of imap",
        ),
        (("$mail_plugins last_login", "$mail_plugins"), "dovecot.plugin", "error", "in no protocol's mail_plugins"),
        ((".sock:statsdb", ".sock:stats"), "dovecot.dict", "error", "has the name stats; the producer serves statsdb"),
        (("dict.sock:", "other.sock:"), "dovecot.dict", "error", "other.sock; the producer listens at"),
        (("last_login_dict =", "unset ="), "dovecot.dict", "error", "last_login_dict is not set"),
        (
            ("last_login_key = last-login/%s/%u\n", "last_login_key = logins/%s/%u\n"),
            "dovecot.key",
            "error",
            "the key fits no configured pattern",
        ),
        (("  last_login_key = last-login/%s/%u\n", ""), "dovecot.key", "error", "last-login/%u (its default)"),
        (
            ("last_login_key = last-login/%s/%u\n", "last_login_key = last-login/%s/%n\n"),
            "dovecot.key",
            "error",
            "the key is not one of the transaction's user",
        ),
        (
            ("last-login/webmail/%u/%r", "last-login/webmail/%u/%d"),
            "dovecot.key",
            "error",
            "the key does not end in an address",
        ),
        (("mail_uid = 5000", "mail_uid = nobody-knows"), "dovecot.user", "error", "nobody-knows"),
    ],
)
def test_misconfigured_dovecot(backend: Backend, change: tuple[str, str], check: str, level: str, found: str) -> None:
    """Each is named, by real doveconf's word, and nothing but what follows from it."""
    told = backend.doctor(replaced(*change))
    lines = [line for line in told.lines[check] if line["level"] != "ok"]

    assert [level] == [line["level"] for line in lines]
    assert found in lines[0]["found"]
    assert lines[0]["do"]
    assert {check, "dovecot.key"} >= set(told.levels())
    assert (level == "error") == told.code


def test_monitoring_that_is_not_recorded(backend: Backend) -> None:
    """What docs/backend.md has for monitoring is fine, as real doveconf prints it."""
    told = backend.doctor(replaced("last_login_key = last-login/webmail/%u/%r", "last_login_dict ="))

    assert {} == told.levels()
    assert "turned off in remote" in told.lines["dovecot.dict"][1]["found"]


def test_a_protocol_that_is_not_recorded(backend: Backend) -> None:
    """Where the dict is empty in a protocol without the plugin that is fine, as real doveconf prints it."""
    loaded = "protocol pop3 {\n  mail_plugins = $mail_plugins last_login\n}\n"
    told = backend.doctor(replaced(loaded, "protocol pop3 {\n  plugin {\n    last_login_dict =\n  }\n}\n"))

    assert {} == told.levels()
    assert "turned off in protocol pop3" in told.lines["dovecot.dict"][1]["found"]


@contextmanager
def mode(path: Path, bits: int) -> Iterator[None]:
    """Another mode of a file, for a while."""
    before = path.stat().st_mode
    path.chmod(bits)
    try:
        yield
    finally:
        path.chmod(before)


def test_a_socket_that_dovecot_may_not_use(backend: Backend) -> None:
    """The rights of Dovecot's users are told by modes, and as root the login fails as theirs would."""
    with mode(Path(backend.settings["SOCKET__PATH"]), 0o600):
        told = backend.doctor()

    assert ["error"] == told.levels()["socket.rights"]
    assert "(uid 5000, gid 5000) cannot connect: they may not write to" in told.lines["socket.rights"][0]["found"]
    if os.geteuid() == 0:
        assert "Permission denied" in told.lines["round_trip"][0]["found"]
    assert 1 == told.code


def test_a_spool_that_others_may_write_to(backend: Backend) -> None:
    """The doctor names the directory, and the command that mends it."""
    with mode(backend.directory / "spool", 0o777):
        told = backend.doctor()

    assert {"spool.directory": ["error"]} == told.levels()
    assert "other users may write" in told.lines["spool.directory"][0]["found"]
    assert f"chmod go-w {backend.directory}/spool" in told.lines["spool.directory"][0]["do"]


@pytest.mark.parametrize(
    ("settings", "check", "found"),
    [
        ({"BACKEND": "localhost"}, "backend", "localhost is every host's own name"),
        ({"TOPICS__QUARANTINE": "no-such-topic"}, "kafka.topics", "no-such-topic: no such topic"),
        ({"KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:9"}, "kafka.connect", "Connect call failed"),
        ({"KAFKA__BOOTSTRAP_SERVERS": "kafka.invalid:9092"}, "kafka.resolve", "kafka.invalid:9092: cannot be resolved"),
        ({"KAFKA__SECURITY_PROTOCOL": "SSL"}, "kafka.tls", "no TLS"),
        ({"NONSENSE": "1"}, "configuration", "LASTLOGIN_PRODUCER_NONSENSE: unknown variable"),
        ({"SPOOL__DIRECTORY": "relative"}, "configuration", "spool.directory"),
    ],
)
def test_misconfigured_producer(backend: Backend, settings: dict[str, str], check: str, found: str) -> None:
    """Each is an error that is named; no other check complains."""
    told = backend.doctor(**settings)
    [line] = [line for line in told.lines[check] if line["level"] == "error"]

    assert found in line["found"]
    assert line["do"]
    assert {check} == set(told.levels())
    assert 1 == told.code


def test_a_producer_elsewhere(backend: Backend, tmp_path: Path) -> None:
    """With a spool that no producer has, somebody else listens on the socket, and no login is made."""
    (tmp_path / "spool").mkdir(mode=0o700)
    told = backend.doctor(SPOOL__DIRECTORY=str(tmp_path / "spool"))

    assert "no producer has" in told.lines["socket.listening"][0]["found"]
    assert "not done" in told.lines["round_trip"][0]["found"]
    assert [] == list((tmp_path / "spool").iterdir())


def test_a_producer_that_turns_us_away(backend: Backend) -> None:
    """Where only others may connect no login is tried, and it is told whose right is missing."""
    told = backend.doctor(SOCKET__ALLOWED_USERS='["4711"]')

    assert {"socket.rights": ["error"], "round_trip": ["warning"]} == told.levels()
    assert "their user is not in socket.allowed_users" in told.lines["socket.rights"][0]["found"]
    uid = MAIL_ID if os.geteuid() == 0 else os.geteuid()
    assert f"turns uid {uid} away" in told.lines["round_trip"][0]["found"]


def test_a_producer_that_stands_still(backend: Backend) -> None:
    """A producer that does not answer is told within the time of a login; the doctor waits no longer."""
    begun = time.monotonic()
    with halted(backend.producer.pid), halted(backend.producer.outbox):
        told = backend.doctor()

    assert {"round_trip": ["error"]} == told.levels()
    [line] = told.lines["round_trip"]
    assert "within 3 s, and does not answer on its control socket" in line["found"]
    assert "restart it" in line["do"]
    assert time.monotonic() - begun < 20


def test_as_a_stranger(backend: Backend) -> None:
    """Whoever may not look into the spool is told to ask as somebody else; the rest is looked at."""
    spool = backend.directory / "spool"
    if os.geteuid() == 0:
        prefix = ["setpriv", "--reuid", str(MAIL_ID), "--regid", str(MAIL_ID), "--clear-groups"]
        with mode(spool, 0o700):
            told = backend.doctor(prefix=prefix)
    else:
        with mode(spool, 0o000):
            told = backend.doctor()

    assert ["error"] == told.levels()["spool.directory"]
    assert "as root" in told.lines["spool.directory"][0]["do"]
    assert ["warning"] == told.levels()["spool.level"]
    assert ["warning"] == told.levels()["socket.listening"]
    assert "kafka.login" not in told.levels()
    assert 1 == told.code

"""A mail backend as it should be: a producer that runs, a Kafka that it publishes to, and Dovecot's configuration."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from lastlogin_stack.dovecot import Account, DovecotOptions, render_configuration
from lastlogin_stack.layout import Layout
from tests.support.command import Ended, service
from tests.support.producer import ProducerProcess
from tests.support.secured_kafka import SecuredKafka


# Dovecot's mail processes; no such user has to exist.
MAIL_ID = 5000


@dataclass(frozen=True, slots=True)
class Told:
    """What the doctor said: lines by check, and how it ended."""

    code: int
    level: str
    lines: dict[str, list[dict[str, str]]] = field(default_factory=dict)

    def levels(self) -> dict[str, list[str]]:
        """Level of each line that is not ok."""
        bad = {check: [line["level"] for line in lines if line["level"] != "ok"] for check, lines in self.lines.items()}
        return {check: levels for check, levels in bad.items() if levels}


@dataclass(frozen=True, slots=True)
class Backend:
    """One backend, good; `settings` are what its producer runs with."""

    directory: Path
    kafka: SecuredKafka
    producer: ProducerProcess
    settings: dict[str, str]
    dovecot: str

    def command(self, *arguments: str, prefix: Sequence[str] = (), **settings: str) -> Ended:
        """Run `lastlogin-producer` beside the one that runs, with `settings` above the good ones."""
        return service("lastlogin-producer", *arguments, prefix=prefix, **(self.settings | settings))

    def doctor(self, mutate: Callable[[str], str] = str, prefix: Sequence[str] = (), **settings: str) -> Told:
        """Ask the doctor, with Dovecot's configuration changed by `mutate` and `settings` above the good ones."""
        file = self.directory / "dovecot.conf"
        file.write_text(mutate(self.dovecot))
        ended = self.command("doctor", "--json", "--dovecot-config", str(file), prefix=prefix, **settings)
        assert "" == ended.err
        told = json.loads(ended.out)
        lines: dict[str, list[dict[str, str]]] = {}
        for line in told["checks"]:
            lines.setdefault(line["check"], []).append(line)
        return Told(ended.code, told["level"], lines)


@pytest.fixture(scope="module")
def backend(layout: Layout, kafka_with_rights: SecuredKafka) -> Iterator[Backend]:
    """One for all tests of a module; a test that changes it puts it back."""
    with TemporaryDirectory(prefix="ll-") as name:
        directory = Path(name)
        # Dovecot's users must get through to the socket; pytest's own directories are private.
        directory.chmod(0o755)
        settings = {
            "BACKEND": "mail1",
            "SOCKET__PATH": str(directory / "dict.sock"),
            "SOCKET__MODE": "0666",
            "SPOOL__DIRECTORY": str(directory / "spool"),
            "SPOOL__MAX_BYTES": "100000000",
            "KAFKA__BOOTSTRAP_SERVERS": kafka_with_rights.plain,
            "TOPICS__EVENTS": kafka_with_rights.create(),
            "TOPICS__QUARANTINE": kafka_with_rights.create(),
            "METRICS__PORT": "0",
        }
        dovecot = render_configuration(
            Layout(directory, layout.base_port), DovecotOptions(), Account(None, MAIL_ID, MAIL_ID)
        )
        with ProducerProcess(directory, **settings) as producer:
            producer.serve()
            yield Backend(directory, kafka_with_rights, producer, settings, dovecot)

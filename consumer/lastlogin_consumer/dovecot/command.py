"""`lastlogin-consumer import-dovecot`: Dovecot's own map file as configuration of the consumer."""

from pathlib import Path
from typing import Any

import click
from pydantic import ValidationError

from lastlogin_consumer.dovecot.imported import Imported, imported
from lastlogin_consumer.dovecot.syntax import MapError
from lastlogin_consumer.dovecot.table import PREFIX
from lastlogin_consumer.settings import ConsumerSettings
from lastlogin_service.columns import ColumnSettings
from lastlogin_service.exits import DATA, NOINPUT, OK, Exit
from lastlogin_service.problems import words
from lastlogin_service.rendering import toml_value
from lastlogin_service.subcommand import Source, Subcommand


# Room for thousands of maps; a larger file is some other file.
_MAX_BYTES = 1_048_576
_EXAMPLE = "cassandra1.example.org"
_KAFKA = {"bootstrap_servers": ["kafka1.example.org:9092"]}

SUMMARY = """Print Dovecot's own map file for dict-cql as configuration of the consumer.

FILE is the map file of 2.2 and 2.3 (dict-cql and dict-sql), or a configuration of 2.4 with dict_map. What has no
counterpart is told on standard error, with its line. Kafka's brokers are not in the file: put them into the output.

\b
Exit codes:
  0 printed     65 the file is not what it should be; the message has the line     66 it cannot be read
"""


async def import_dovecot(_source: Source[ConsumerSettings], *, file: Path, prefix: str) -> int:
    """Print it. Raises `Exit`."""
    text = _read(file)
    try:
        found = imported(text, prefix.rstrip("/") + "/")
    except MapError as error:
        raise Exit(DATA, f"{_place(file, error.line)}: {error.reason}") from None
    for note in found.notes:
        click.echo(f"{_place(file, note.line)}: {note.text}", err=True)
    sections = sections_of(found)
    for problem in _problems(sections):
        click.echo(f"{file}: {problem}", err=True)
    click.echo(f"# Made from {file} by lastlogin-consumer import-dovecot; [kafka] is to be filled in.")
    for name, keys in sections.items():
        click.echo(f"\n[{name}]")
        for key, value in keys.items():
            click.echo(f"{key} = {toml_value(value)}")
    return OK


def sections_of(found: Imported) -> dict[str, dict[str, Any]]:
    """Sections of the consumer's file, without what is so by default."""
    default = ColumnSettings().model_dump()
    return {
        "kafka": dict(_KAFKA),
        "cassandra": {"contact_points": [_EXAMPLE]} | found.cassandra,
        "columns": {key: value for key, value in found.columns.items() if value != default[key]},
    }


def _place(file: Path, line: int) -> str:
    return f"{file}:{line}" if line else str(file)


def _read(file: Path) -> str:
    try:
        with file.open("rb") as stream:
            content = stream.read(_MAX_BYTES + 1)
    except OSError as error:
        raise Exit(NOINPUT, f"{file}: cannot be read: {error.strerror}") from None
    if len(content) > _MAX_BYTES:
        raise Exit(DATA, f"{file}: is larger than {_MAX_BYTES} bytes: not a map file")
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise Exit(DATA, f"{file}:{line}: is not UTF-8") from None


def _problems(sections: dict[str, Any]) -> list[str]:
    """What the consumer would not take, such as files of certificates that are not on this host."""
    try:
        ConsumerSettings(**sections)
    except ValidationError as error:
        found = words(ConsumerSettings, "LASTLOGIN_CONSUMER_", error)
        return [f"{'.'.join(map(str, each.location))}: {each.allowed}" for each in found]
    return []


IMPORT_DOVECOT: Subcommand[ConsumerSettings] = Subcommand(
    "import-dovecot",
    SUMMARY,
    import_dovecot,
    [
        click.Argument(["file"], type=click.Path(path_type=Path)),
        click.Option(["--prefix"], default=PREFIX, show_default=True, help="What keys of last_login begin with."),
    ],
)

"""A line of the log for people on a terminal: local time, level, the sentence, and beside it what was told."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

from structlog import dev
from structlog.typing import EventDict, Processor


def people_form(*, colors: bool) -> list[Processor]:
    """What makes text of a line, in colours or without."""
    bright, dim, key, reset = (dev.BRIGHT, dev.DIM, dev.CYAN, dev.RESET_ALL) if colors else ("", "", "", "")
    text = partial(dev.KeyValueColumnFormatter, None, reset_style=reset, value_repr=str)
    columns = [
        dev.Column("timestamp", text(value_style=dim)),
        dev.Column("level", dev.LogLevelColumnFormatter(dev.ConsoleRenderer.get_default_level_styles(colors), reset)),
        dev.Column("event", text(value_style=bright)),
        dev.Column("action", text(value_style=key, prefix="[", postfix="]")),
        dev.Column("logger", text(value_style=dim, prefix="[", postfix="]")),
        dev.Column("", dev.KeyValueColumnFormatter(key, "", reset, value_repr=_plain)),
    ]
    # The plain traceback: the others show the values of local variables, users' names among them.
    return [_for_people, dev.ConsoleRenderer(columns=columns, exception_formatter=dev.plain_traceback, sort_keys=False)]


def _for_people(_logger: object, _method: str, line: EventDict) -> EventDict:
    line["timestamp"] = datetime.now(UTC).astimezone().isoformat(" ", "milliseconds")
    if "action" in line:
        # It says more than which module of ours it was.
        del line["logger"]
    return line


def _plain(value: Any) -> str:
    """A value without brackets; in quotes where it would run into what follows, or command the terminal."""
    if isinstance(value, Mapping):
        return "(" + ", ".join(f"{name} {_plain(each)}" for name, each in value.items()) + ")"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ",".join(map(_plain, value)) or "none"
    plain = str(value)
    return plain if plain.isprintable() and " " not in plain and plain else repr(plain)

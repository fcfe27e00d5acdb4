"""Logs: JSON for machines, coloured lines for people, floods of the libraries held back."""

import io
import json
import logging
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
import structlog

from lastlogin_service.logs import LogSettings, Occasionally, configure


class Clock:
    """A clock that the test sets."""

    now = 1000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


class Terminal(io.StringIO):
    """A stream that is a terminal."""

    def isatty(self) -> bool:
        """Return that it is."""
        return True


@pytest.fixture
def clock() -> Clock:
    """Return a clock."""
    return Clock()


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    """Put logging back as it was, for the tests that follow."""
    loggers = [logging.getLogger(name) for name in ("", "aiokafka", "cassandra")]
    before = [(logger, logger.level, logger.handlers[:]) for logger in loggers]
    yield
    structlog.reset_defaults()
    for logger, level, handlers in before:
        logger.setLevel(level)
        logger.handlers[:] = handlers


def lines(out: io.StringIO) -> list[dict[str, object]]:
    """Decode what was logged."""
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_json_line() -> None:
    """A line is a JSON object: UTC time, level, logger, sentence, action and what was given beside."""
    out = io.StringIO()
    configure(LogSettings(), out)

    structlog.get_logger("spool").info("Opened the spool", action="spool_open", rows=3)

    (line,) = lines(out)
    assert str(line.pop("timestamp")).endswith("Z")
    assert line == {
        "level": "info",
        "logger": "spool",
        "event": "Opened the spool",
        "action": "spool_open",
        "rows": 3,
    }


def test_standard_library_line() -> None:
    """Lines of the standard library's logging look the same."""
    out = io.StringIO()
    configure(LogSettings(), out)

    logging.getLogger("asyncio").warning("slow %s", "callback")

    (line,) = lines(out)
    line.pop("timestamp")
    assert line == {"level": "warning", "logger": "asyncio", "event": "slow callback"}


def test_people_on_a_terminal() -> None:
    """On a terminal `auto` is for people; `json` stays JSON there, `people` is so in a pipe."""
    terminal, terminal_json, pipe = Terminal(), Terminal(), io.StringIO()
    for settings, out in (
        (LogSettings(), terminal),
        (LogSettings(format="json"), terminal_json),
        (LogSettings(format="people"), pipe),
    ):
        configure(settings, out)
        structlog.get_logger("spool").info("Opened", action="spool_open")

    assert "\x1b[1mOpened\x1b[0m" in terminal.getvalue()
    assert lines(terminal_json)[0]["action"] == "spool_open"
    assert "\x1b[" not in pipe.getvalue()
    assert "[info     ] Opened" in pipe.getvalue()


def test_people_form(monkeypatch: pytest.MonkeyPatch) -> None:
    """Local time, level, the sentence, the action, then the rest, lists without brackets; a library's with its name."""
    monkeypatch.setenv("TZ", "CET-1CEST")
    time.tzset()
    out = io.StringIO()
    configure(LogSettings(format="people"), out)

    log = structlog.get_logger("lastlogin_consumer.source")
    log.warning("Two", action="two", why="no answer", partitions=[1, 2], none=[], told={"a": 1, "b.c": "\x1b[2J"})
    logging.getLogger("aiokafka.conn").error("Unable to connect to %s", "k1")
    monkeypatch.undo()
    time.tzset()

    ours, theirs = out.getvalue().splitlines()
    when, rest = ours.split(" [", 1)
    assert abs(datetime.fromisoformat(when) - datetime.now(UTC)) < timedelta(minutes=1)
    assert when.endswith(("+01:00", "+02:00"))
    assert rest == r"warning  ] Two [two] why='no answer' partitions=1,2 none=none told=(a 1, b.c '\x1b[2J')"
    assert theirs.endswith(" [error    ] Unable to connect to k1 [aiokafka.conn]")


def test_json_begins_with_what_every_line_has() -> None:
    """Time, level, action and sentence come first, whatever is told beside."""
    out = io.StringIO()
    configure(LogSettings(), out)
    structlog.get_logger("x").info("Sentence", action="x", rows=3)

    assert ["timestamp", "level", "action", "event", "rows", "logger"] == list(lines(out)[0])


@pytest.mark.parametrize("form", ["json", "people"])
def test_tracebacks_show_no_values(form: str) -> None:
    """A traceback comes with the line, and without the values of local variables."""
    out = io.StringIO()
    configure(LogSettings(format=form), out)
    user = "frank" * 2

    try:
        int(user[:0])
    except ValueError:
        structlog.get_logger("x").exception("Failed", action="fail")

    assert "ValueError: invalid literal" in out.getvalue()
    assert user not in out.getvalue()


def test_level() -> None:
    """Lines below the level are left out, ours and the libraries'."""
    out = io.StringIO()
    configure(LogSettings(level="warning"), out)

    structlog.get_logger("x").info("Quiet", action="x")
    logging.getLogger("aiokafka").info("quiet")
    structlog.get_logger("x").warning("Loud", action="x")

    assert [line["event"] for line in lines(out)] == ["Loud"]


def test_libraries_never_at_debug() -> None:
    """The libraries' debug lines, which show whole requests, stay off when ours are on."""
    out = io.StringIO()
    configure(LogSettings(level="debug"), out)

    structlog.get_logger("x").debug("Ours", action="x")
    logging.getLogger("aiokafka.conn").debug("Request %s", "secret")
    logging.getLogger("cassandra.cluster").debug("Request %s", "secret")

    assert [line["event"] for line in lines(out)] == ["Ours"]


def test_libraries_are_limited(clock: Clock) -> None:
    """A message of a library or of Python goes out at once, then every 30 s with the number held back."""
    out = io.StringIO()
    configure(LogSettings(), out, clock)
    log = logging.getLogger("aiokafka.conn")

    for number in range(1000):
        log.error("Unable to connect to %s", number)
    log.error("another message")
    for _ in range(10):
        logging.getLogger("asyncio").error("socket.accept() out of system resource")
    clock.now += 30
    log.error("Unable to connect to %s", 1000)
    clock.now += 30
    log.error("Unable to connect to %s", 1001)

    assert [line["event"] for line in lines(out)] == [
        "Unable to connect to 0",
        "another message",
        "socket.accept() out of system resource",
        "Unable to connect to 1000 [and 999 more like this]",
        "Unable to connect to 1001",
    ]


def test_ours_are_not_limited(clock: Clock) -> None:
    """Only the libraries are held back; our own lines are rare by design."""
    out = io.StringIO()
    configure(LogSettings(), out, clock)

    for _ in range(3):
        structlog.get_logger("aiokafka_like").info("Same", action="same")

    assert len(lines(out)) == 3


def test_occasionally_is_bounded(clock: Clock) -> None:
    """Any number of keys is remembered in bounded space: those that went out longest ago are forgotten."""
    occasionally = Occasionally(30, clock)

    for key in range(1001):
        assert occasionally.suppressed(key) == 0

    assert occasionally.suppressed(1000) is None
    assert occasionally.suppressed(1) is None
    assert occasionally.suppressed(0) == 0

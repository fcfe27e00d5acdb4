"""Logs: JSON for machines, coloured lines for people, floods of the libraries held back."""

import io
import json
import logging
from collections.abc import Iterator

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

    assert "\x1b[" in terminal.getvalue()
    assert lines(terminal_json)[0]["action"] == "spool_open"
    assert "\x1b[" not in pipe.getvalue()
    assert "[info     ] Opened" in pipe.getvalue()


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
    """A library's message goes out at once, then every 30 s with the number held back, whatever its arguments."""
    out = io.StringIO()
    configure(LogSettings(), out, clock)
    log = logging.getLogger("aiokafka.conn")

    for number in range(1000):
        log.error("Unable to connect to %s", number)
    log.error("another message")
    clock.now += 30
    log.error("Unable to connect to %s", 1000)
    clock.now += 30
    log.error("Unable to connect to %s", 1001)

    assert [line["event"] for line in lines(out)] == [
        "Unable to connect to 0",
        "another message",
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

"""Logs: one line per state change on standard output, JSON for machines, coloured for people (docs/logs.md).

Every line of ours has a stable `action` beside the sentence in `event`. The libraries' own lines take the same
way and are rate-limited: while Kafka or Cassandra is away they would repeat themselves by the thousand.
"""

import logging
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from time import monotonic
from typing import ClassVar, Literal, TextIO

import structlog

from lastlogin_service.people_form import people_form
from lastlogin_service.settings import Section, Settings


LIBRARIES = ("aiohttp", "aiokafka", "cassandra")

# Often enough to see that it goes on, seldom enough to read the rest.
_REPEAT_INTERVAL_S = 30.0
# Messages that are not templates make a key each.
_MAX_KEYS = 1_000


class LogSettings(Section):
    """`[log]`: how much and in which form; `auto` is for people on a terminal and JSON elsewhere."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "json", "people"] = "auto"


class ServiceSettings(Settings):
    """Settings of a service: what `service_command` needs of them."""

    # Keys (`section.key`) whose values the first line of the log tells: never those of a secret or a login's name.
    told_at_start: ClassVar[tuple[str, ...]] = ("log.level",)

    log: LogSettings = LogSettings()


def _in_order(_logger: object, _method: str, line: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """What every line has comes first: whoever reads a journal sees its beginning."""
    return {name: line[name] for name in _FIRST if name in line} | dict(line)


_FIRST = ("timestamp", "level", "action", "event")
_JSON: list[structlog.typing.Processor] = [
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.format_exc_info,
    _in_order,
    structlog.processors.JSONRenderer(),
]


class Occasionally:
    """Rate limit by key: the first time at once, then at most once per `interval_s`. For use by any thread."""

    def __init__(self, interval_s: float, clock: Callable[[], float] = monotonic) -> None:
        self._interval_s = interval_s
        self._clock = clock
        self._lock = threading.Lock()
        # key -> (when it last went out, suppressed since); the one that went out longest ago comes first
        self._sent: OrderedDict[Hashable, tuple[float, int]] = OrderedDict()

    def suppressed(self, key: Hashable) -> int | None:
        """Ask whether `key` may go out now: how many were held back since the last time, or None to hold back."""
        now = self._clock()
        with self._lock:
            at, count = self._sent.get(key, (None, 0))
            if at is not None and now - at < self._interval_s:
                self._sent[key] = at, count + 1
                return None
            self._sent[key] = now, 0
            self._sent.move_to_end(key)
            if len(self._sent) > _MAX_KEYS:
                self._sent.popitem(last=False)
            return count


class _LimitOthers(logging.Filter):
    """Lets a message template that is not ours through occasionally, and says how many were held back."""

    def __init__(self, occasionally: Occasionally) -> None:
        super().__init__()
        self._occasionally = occasionally

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.msg, dict):
            # What structlog wraps: our own lines.
            return True
        count = self._occasionally.suppressed((record.name, record.msg))
        if count:
            record.msg = f"{record.msg} [and {count} more like this]"
        return count is not None


def configure(settings: LogSettings, stream: TextIO | None = None, clock: Callable[[], float] = monotonic) -> None:
    """Send structlog's and the standard library's lines to `stream`, standard output unless given."""
    out = stream or sys.stdout
    people = settings.format == "people" or (settings.format == "auto" and out.isatty())
    common: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.StackInfoRenderer(),
    ]
    rendering = people_form(colors=out.isatty()) if people else _JSON
    handler = logging.StreamHandler(out)
    handler.addFilter(_LimitOthers(Occasionally(_REPEAT_INTERVAL_S, clock)))
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=common,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendering],
        )
    )
    logging.getLogger().handlers[:] = [handler]
    set_level(settings.level)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *common,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )


def silence_libraries() -> None:
    """Let only our own lines through: of a command people want its sentences."""
    for library in LIBRARIES:
        logging.getLogger(library).setLevel(logging.CRITICAL)


def set_level(name: str) -> None:
    """Let lines of this level (`[log] level`) and above through, at any time after `configure`."""
    level = logging.getLevelNamesMapping()[name.upper()]
    logging.getLogger().setLevel(level)
    for library in LIBRARIES:
        # Their debug lines show whole requests: users and passwords, and who asks for metrics.
        logging.getLogger(library).setLevel(max(level, logging.INFO))

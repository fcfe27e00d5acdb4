"""What SIGHUP changes: dicts, rules, users and the level of the log."""

import asyncio
from collections.abc import Callable
from typing import NoReturn

import structlog

from lastlogin_producer.events import EventRules
from lastlogin_producer.settings import ProducerSettings
from lastlogin_service.counting import counted
from lastlogin_service.notify import Notifier
from lastlogin_service.reload import reload_on_hangup, tell_what_waits


_log = structlog.get_logger(__name__)

_RELOADABLE = frozenset({"dicts", "rules", "users.lower_case", "users.default_domain", "log.level"})


async def reload_rules(
    hangup: asyncio.Event,
    settings: ProducerSettings,
    reread: Callable[[], ProducerSettings],
    backend: str,
    use: Callable[[EventRules], None],
    *,
    set_level: Callable[[str], None],
    notifier: Notifier,
) -> NoReturn:
    """Each time that `hangup` is set, `reread` the settings, `use` their rules and set their level of the log.

    Until cancelled. `settings` are those of the start.
    """

    def read() -> tuple[ProducerSettings, EventRules]:
        new = reread()
        return new, EventRules.of(new, backend)

    def put_in_force(read_anew: tuple[ProducerSettings, EventRules]) -> None:
        new, rules = read_anew
        use(rules)
        set_level(new.log.level)
        _log.info(
            f"Reloaded: {counted(len(new.dicts), 'dict')}, {counted(len(new.rules), 'rule')}, level {new.log.level}",
            action="reloaded",
            dicts=sorted(new.dicts),
            rules=len(new.rules),
            lowest_level=new.log.level,
        )
        tell_what_waits(settings, new, _RELOADABLE)

    await reload_on_hangup(hangup, read, put_in_force, notifier)

"""SIGHUP: dicts, rules, users and the level of the log are read again; everything else waits for a restart."""

import asyncio
from collections.abc import Callable, Iterator

import structlog
from pydantic import BaseModel

from lastlogin_producer.events import EventRules
from lastlogin_producer.settings import ProducerSettings
from lastlogin_service.daemon_thread import in_thread
from lastlogin_service.exits import Exit
from lastlogin_service.notify import Notifier


_log = structlog.get_logger(__name__)

_RELOADABLE = frozenset({"dicts", "rules", "users.lower_case", "users.default_domain", "log.level"})


async def reload_on_hangup(
    hangup: asyncio.Event,
    settings: ProducerSettings,
    reread: Callable[[], ProducerSettings],
    backend: str,
    use: Callable[[EventRules], None],
    *,
    set_level: Callable[[str], None],
    notifier: Notifier,
) -> None:
    """Each time that `hangup` is set, `reread` the settings, `use` their rules and set their level of the log.

    Until cancelled. `settings` are those of the start. When the new ones are not good, each line of what `reread`
    raises as `Exit` is logged and everything stays as it is.
    """
    while True:
        await hangup.wait()
        hangup.clear()
        with notifier.reloading():
            await _reload(settings, reread, backend, use, set_level)


async def _reload(
    settings: ProducerSettings,
    reread: Callable[[], ProducerSettings],
    backend: str,
    use: Callable[[EventRules], None],
    set_level: Callable[[str], None],
) -> None:
    try:
        # Asks for files, users, groups and this host's name, and reads networks by the thousand: logins go on.
        new, rules = await in_thread(lambda: _read(reread, backend))
    except Exit as end:
        for line in end.message.splitlines():
            _log.error(f"Not reloaded, the rules stay as they are: {line}", action="reload_refused")
    else:
        use(rules)
        set_level(new.log.level)
        _tell(settings, new)


def _read(reread: Callable[[], ProducerSettings], backend: str) -> tuple[ProducerSettings, EventRules]:
    new = reread()
    return new, EventRules.of(new, backend)


def _tell(settings: ProducerSettings, new: ProducerSettings) -> None:
    _log.info(
        f"Reloaded: {len(new.dicts)} dicts, {len(new.rules)} rules",
        action="reloaded",
        dicts=sorted(new.dicts),
        rules=len(new.rules),
        level=new.log.level,
    )
    for key in changed(settings, new):
        if key not in _RELOADABLE:
            _log.warning(f"{key} has changed in the configuration: restart for it", action="restart_needed", key=key)


def changed(old: BaseModel, new: BaseModel, above: str = "") -> Iterator[str]:
    """Yield each key, as `section.key`, whose value is another."""
    for name, value in old:
        key = f"{above}{name}"
        other = getattr(new, name)
        if isinstance(value, BaseModel):
            yield from changed(value, other, f"{key}.")
        elif value != other:
            yield key

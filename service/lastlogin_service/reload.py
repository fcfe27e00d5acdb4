"""SIGHUP: what can change in a running service is read again; everything else waits for a restart."""

import asyncio
from collections.abc import Callable, Collection, Iterator
from typing import NoReturn, TypeVar

import structlog
from pydantic import BaseModel

from lastlogin_service.daemon_thread import in_thread
from lastlogin_service.exits import Exit
from lastlogin_service.notify import Notifier


_log = structlog.get_logger(__name__)

_T = TypeVar("_T")


async def reload_on_hangup(
    hangup: asyncio.Event, read: Callable[[], _T], use: Callable[[_T], None], notifier: Notifier
) -> NoReturn:
    """Each time that `hangup` is set, `read` anew, in a thread, and `use` it. Until cancelled.

    When `read` raises `Exit`, each line of that is logged and everything stays as it is.
    """
    while True:
        await hangup.wait()
        hangup.clear()
        with notifier.reloading():
            try:
                # Asks for files, users, groups and this host's name, and reads networks by the thousand: work goes on.
                new = await in_thread(read)
            except Exit as end:
                for line in end.message.splitlines():
                    _log.error(f"Not reloaded, everything stays as it is: {line}", action="reload_refused")
            else:
                use(new)


def tell_what_waits(old: BaseModel, new: BaseModel, reloadable: Collection[str]) -> None:
    """Name each key, as `section.key`, that is not `reloadable` and has another value than at the start."""
    for key in changed(old, new):
        if key not in reloadable:
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

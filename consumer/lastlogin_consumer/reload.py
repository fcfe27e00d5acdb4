"""What SIGHUP changes: the level of the log. What else a consumer does by is for a new start."""

import asyncio
from collections.abc import Callable
from typing import NoReturn

import structlog

from lastlogin_consumer.settings import ConsumerSettings
from lastlogin_service import logs
from lastlogin_service.notify import Notifier
from lastlogin_service.reload import reload_on_hangup, tell_what_waits


_log = structlog.get_logger(__name__)

_RELOADABLE = frozenset({"log.level"})


async def reload_level(
    hangup: asyncio.Event, settings: ConsumerSettings, reread: Callable[[], ConsumerSettings], notifier: Notifier
) -> NoReturn:
    """Each time that `hangup` is set, `reread` the settings and set their level of the log; until cancelled.

    `settings` are those of the start.
    """

    def put_in_force(new: ConsumerSettings) -> None:
        logs.set_level(new.log.level)
        _log.info(f"Reloaded: the log's level is {new.log.level}", action="reloaded", lowest_level=new.log.level)
        tell_what_waits(settings, new, _RELOADABLE)

    await reload_on_hangup(hangup, reread, put_in_force, notifier)

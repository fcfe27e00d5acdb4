"""Finding out what of a stretch can be read, record by record where it must be."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

from lastlogin_consumer.decode import Record
from lastlogin_consumer.errors import FetchFailed, OffsetLost, Unreadable
from lastlogin_consumer.offsets import next_offset
from lastlogin_consumer.replay.stretch_log import SILENCE_S, StretchLog
from lastlogin_consumer.replay.stretches import Edges, Stretch
from lastlogin_consumer.replay.topic import EventsTopic
from lastlogin_consumer.skip.gaps import Survey
from lastlogin_service.exits import UNAVAILABLE, Exit


# Offsets before and behind the stretch: the numbers of most backends are seen in so many records.
_CONTEXT = 500
_FETCH_LIMIT = 500
_WAIT_S = 1.0
_PROBE_S = 3.0
# By then a stretch would have been given up, if Kafka answered.
_SILENCE_S = 3 * SILENCE_S


async def survey(topic: EventsTopic, stretch: Stretch, edges: Edges) -> Survey:
    """Read it, with what is around it. Raises `Exit` (69) when Kafka goes away."""
    found = Survey(stretch)
    around = replace(
        stretch, first=max(edges.first, stretch.first - _CONTEXT), end=min(edges.end, stretch.end + _CONTEXT)
    )
    [log] = topic.assign([around])
    limit = _FETCH_LIMIT
    while True:
        async for records in _records(log, limit):
            found.read(records)
        if log.unreadable is None:
            return found
        goes_on = log.unreadable + 1
        if log.withheld:
            goes_on = await _goes_on(log, log.unreadable)
        for offset in range(log.unreadable, goes_on):
            found.unreadable(offset)
        # One damaged batch takes all its records with it: the next one is likely of the same.
        log, limit = log.behind(goes_on - 1), 1


async def _goes_on(log: StretchLog, withheld: int) -> int:
    """First offset behind `withheld` that Kafka gives, or the end: all between share one damage.

    To try each of them would take seconds a record; in growing steps, then in halves, it takes some twenty tries.
    """
    end = log.stretch.end
    step = 1
    while (tried := min(withheld + step, end)) < end and not await _gives(log, tried):
        withheld, step = tried, 2 * step
    while tried - withheld > 1:
        middle = (withheld + tried) // 2
        if await _gives(log, middle):
            tried = middle
        else:
            withheld = middle
    return tried


async def _gives(log: StretchLog, offset: int) -> bool:
    """Whether Kafka gives what is at `offset`, be it damaged in another way. Raises `Exit` (69) when it goes away."""
    probed = log.behind(offset - 1, _PROBE_S)
    await anext(_records(probed, 1), None)
    return not probed.withheld


async def _records(log: StretchLog, limit: int) -> AsyncIterator[Sequence[Record]]:
    """All that can be read up to its end, or to the first record that cannot be."""
    loop = asyncio.get_running_loop()
    position, heard = log.stretch.first, loop.time()
    while position < log.ends_at:
        records: Sequence[Record] = ()
        try:
            records = await log.fetch(position, limit, _WAIT_S)
        except Unreadable:
            limit = max(1, limit // 2)
            heard = loop.time()
        except OffsetLost as lost:
            position = lost.resume_at
        except FetchFailed:
            await asyncio.sleep(_WAIT_S)
        if records:
            position, heard = next_offset(records), loop.time()
            limit = min(2 * limit, _FETCH_LIMIT)
            yield records
        elif loop.time() - heard > _SILENCE_S:
            raise Exit(UNAVAILABLE, f"partition {log.number} gives nothing at offset {position}: is Kafka away?")

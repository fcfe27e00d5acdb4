"""Rows from the spool into the lanes: each row once, and no lane waits for another.

Two readers share the work. The one at the tail reads on in the order of the spool, and gives to lanes that keep up.
The other one reads again for lanes that fell behind, from the first row that one of them lacks, until they have
reached the tail. What is delivered meanwhile is not read again, so that a lane which was away for hours costs one
pass over its own rows, whatever the others did; several lanes that were away share that pass.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress

from lastlogin_producer.lane import Lane
from lastlogin_producer.spool import BEGINNING, Row, Spool
from lastlogin_schemas.codec import message_key
from lastlogin_schemas.partitioner import partition_of


# Acknowledged rows that are still in the file: they only pile up when the disk refuses to delete them.
_MAX_LEAVING = 50_000
# A lane without room gets it within a request, and then nothing has to be read twice; one that takes longer than this
# falls behind, for the others must not wait for it.
_PATIENCE_S = 0.1
# Pause after reading to the end: the first login after a quiet moment goes out at once, those that follow within
# this time share a read and a request, which cost more than all the rest.
_PACE_S = 0.02
# After a read in which no lane took anything, the pause is so many times as long as the read: passing over a long
# spool must leave most of the processor to logins.
_PASSING_PAUSE = 4.0

Routes = Mapping[int, list[Lane]]


class Rewound(Exception):
    """Rows wait again behind the cursor: reading begins anew."""


class Reading:
    """Reads `spool` for the lanes in `routes` (by kind of message, then by partition).

    `taken` is called for a lane that has got rows and that no task serves.
    """

    def __init__(self, spool: Spool, routes: Routes, taken: Callable[[Lane], object]) -> None:
        self._spool = spool
        self._routes = routes
        self._lanes = [lane for lanes in routes.values() for lane in lanes]
        self._taken = taken
        self._cursor = BEGINNING
        self._changed = asyncio.Event()

    def lane_of(self, row: Row) -> Lane:
        """Lane of the row's partition."""
        lanes = self._routes[row.kind]
        return lanes[partition_of(message_key(row.body), len(lanes))]

    def changed(self) -> None:
        """Say that a lane has room again, or is open again."""
        self._changed.set()

    async def at_the_tail(self, check: Callable[[], None]) -> None:
        """Read on until cancelled; `check` is called before each read, and what it raises is passed on.

        Raises Rewound after a `resend`.
        """
        spool = self._spool
        while True:
            spool.arrived.clear()
            if spool.rewound():
                raise Rewound
            last = spool.last_sequence
            if self._cursor >= last or spool.rows_leaving >= _MAX_LEAVING:
                await spool.arrived.wait()
                continue
            check()
            begun = time.monotonic()
            rows = await spool.read(self._cursor)
            took = time.monotonic() - begun
            taken = await self._give(rows)
            # Before anything is awaited: a lane behind the cursor must not take itself for one that keeps up.
            self._cursor = rows[-1].sequence if rows else last
            if rows and not taken:
                await asyncio.sleep(_PASSING_PAUSE * took)
            if self._cursor >= spool.last_sequence:
                await asyncio.sleep(_PACE_S)

    async def _give(self, rows: Iterable[Row]) -> int:
        """Give the rows to the lanes that keep up; return how many were taken."""
        routes, taken = self._routes, 0
        for row in rows:
            # As `lane_of`, whose call would cost as much as all of its work: this is done for each message.
            lanes = routes[row[1]]
            lane = lanes[partition_of(message_key(row[2]), len(lanes))]
            if lane.full and lane.behind is None and not lane.closed:
                # While we wait a lane that caught up to here may join in.
                self._cursor = row.sequence - 1
                await self._wait_for_room(lane)
            if lane.behind is not None or lane.closed or lane.full:
                lane.fall_behind(row.sequence)
                self._changed.set()
                continue
            lane.take(row)
            taken += 1
            if not lane.active:
                lane.active = True
                self._taken(lane)
        return taken

    async def catch_up(self) -> None:
        """Read again for the lanes that fell behind, until cancelled."""
        spool = self._spool
        while True:
            if spool.rows_leaving >= _MAX_LEAVING:
                spool.arrived.clear()
                await spool.arrived.wait()
                continue
            self._changed.clear()
            turns = {lane: lane.turn for lane in self._lanes if lane.catches_up}
            if not turns:
                await self._changed.wait()
                continue
            first = min(lane.behind for lane in turns if lane.behind is not None)
            last = self._cursor
            rows = await spool.read(first - 1) if first <= last else []
            last = max(last, first - 1) if not rows else min(last, rows[-1].sequence)
            await self._give_again([row for row in rows if row.sequence <= last], turns)
            for lane, turn in turns.items():
                self._advance(lane, turn, first, last)

    def _advance(self, lane: Lane, turn: int, first: int, last: int) -> None:
        """Everything from `first` to `last` has been looked at for the lane."""
        if not lane.catches_up or lane.turn != turn or lane.behind is None:
            return
        if first <= lane.behind <= last:
            lane.behind = last + 1
        if lane.behind > self._cursor:
            lane.behind = None

    async def _give_again(self, rows: Iterable[Row], turns: Mapping[Lane, int]) -> None:
        for row in rows:
            lane = self.lane_of(row)
            if not self._lacks(lane, row, turns):
                continue
            if lane.full:
                await self._wait_for_room(lane)
                if not self._lacks(lane, row, turns):
                    continue
                if lane.full:
                    lane.behind = row.sequence
                    lane.stalled = True
                    continue
            lane.take(row)
            lane.behind = row.sequence + 1
            if not lane.active:
                lane.active = True
                self._taken(lane)

    @staticmethod
    def _lacks(lane: Lane, row: Row, turns: Mapping[Lane, int]) -> bool:
        return (
            lane.catches_up and turns.get(lane) == lane.turn and lane.behind is not None and lane.behind <= row.sequence
        )

    async def _wait_for_room(self, lane: Lane) -> None:
        turn = lane.turn
        with suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE_S):
                while lane.full and lane.turn == turn:
                    lane.moved.clear()
                    await lane.moved.wait()

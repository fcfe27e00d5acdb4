"""Nothing lost, nothing invented: what clients were told against what is on the topics and in the spool.

1. Every acknowledged login is on a topic, set aside, or still in the spool. 2. Nothing is there that was not sent, or
that was refused. 3. The sequences of each producer and epoch have no hole. Repeated records are counted, and allowed.
"""

import time
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from confluent_kafka import Consumer, TopicPartition

from lastlogin_schemas import codec, framing, headers
from lastlogin_schemas.errors import Undecodable
from lastlogin_schemas.event import LoginEvent, RawWrite
from lastlogin_schemas.schema import LOGIN_EVENT
from tests.support.ledger import Account
from tests.support.spool import decoded, open_spool, read_all


_READ_DEADLINE_S = 120.0
_SHOWN = 20

# Producer and epoch: what sequences are counted in.
Stream = tuple[str, int]


class Kept(NamedTuple):
    """One message that was found, and where."""

    user: str
    stream: Stream
    sequence: int
    where: str

    @classmethod
    def of(cls, message: LoginEvent | RawWrite, where: str) -> "Kept":
        """Return what a message says of itself."""
        user = message.user if isinstance(message, LoginEvent) else message.user.decode("utf-8", "surrogateescape")
        return cls(user, (message.backend, message.epoch), message.sequence, where)


@dataclass(frozen=True, slots=True)
class Findings:
    """What an audit has found; `gaps` says where each of its complaints is."""

    acked: int
    unconfirmed: int
    kept: int
    repeated: int
    missing: Sequence[str]
    invented: Sequence[Kept]
    holes: Mapping[Stream, Sequence[int]]
    gaps: Sequence[str]

    def __str__(self) -> str:
        """Say it in a line, and each gap in one more."""
        holes = sum(map(len, self.holes.values()))
        line = (
            f"audit: {self.acked} acked, {self.unconfirmed} unconfirmed, {self.kept} kept, {self.repeated} repeated; "
            f"missing {len(self.missing)}, invented {len(self.invented)}, holes {holes}"
        )
        return "\n  ".join((line, *self.gaps))

    @property
    def clean(self) -> bool:
        """Whether all three checks hold."""
        return not (self.missing or self.invented or self.holes)


def audit(account: Account, found: Iterable[Kept], last: Mapping[Stream, int] | None = None) -> Findings:
    """Hold `found` (topics, what is set aside, what waits) against the account.

    `last` is the last sequence that a producer gave out, where it is known: else the loss of the last ones would
    be no hole.
    """
    by_stream: dict[Stream, dict[int, Kept]] = defaultdict(dict)
    users: set[str] = set()
    invented: list[Kept] = []
    count = 0
    for kept in found:
        count += 1
        users.add(kept.user)
        if kept.user not in account.acked and kept.user not in account.unconfirmed:
            invented.append(kept)
        by_stream[kept.stream].setdefault(kept.sequence, kept)
    last = last or {}
    by_hole: dict[Stream, list[int]] = {}
    for stream in sorted({*by_stream, *last}):
        sequences = by_stream[stream]
        if absent := _absent(sequences, last.get(stream, 0)):
            by_hole[stream] = absent
    missing_users = sorted(account.acked - users)
    return Findings(
        acked=len(account.acked),
        unconfirmed=len(account.unconfirmed),
        kept=count,
        repeated=count - len(users),
        missing=missing_users,
        invented=invented,
        holes=by_hole,
        gaps=_gaps(missing_users, invented, by_hole, by_stream),
    )


def holes(
    origins: Iterable[bytes | None], set_aside: Mapping[str, Collection[int]] | None = None
) -> dict[str, list[int]]:
    """Sequences that are missing below the highest, by `<backend>/<epoch>`; empty when nothing is lost.

    For those who have no ledger. `origins` are the headers of that name on events and quarantine; `set_aside` are the
    sequences that the spool keeps.
    """
    seen: dict[str, set[int]] = defaultdict(set)
    for stream, sequences in (set_aside or {}).items():
        seen[stream].update(sequences)
    for origin in origins:
        if origin is not None:
            stream, _, sequence = origin.decode().rpartition("/")
            seen[stream].add(int(sequence))
    return {stream: absent for stream, sequences in seen.items() if (absent := _absent(sequences))}


def _absent(sequences: Collection[int], last: int = 0) -> list[int]:
    return sorted(set(range(1, max([last, *sequences]) + 1)).difference(sequences))


def _gaps(
    missing: Sequence[str],
    invented: Sequence[Kept],
    by_hole: Mapping[Stream, Sequence[int]],
    by_stream: Mapping[Stream, Mapping[int, Kept]],
) -> list[str]:
    lines = [f"missing: the acknowledged login of {user}" for user in missing[:_SHOWN]]
    lines += [f"invented: {kept.user}, sequence {kept.sequence}, at {kept.where}" for kept in invented[:_SHOWN]]
    for (producer, epoch), sequences in by_hole.items():
        kept = by_stream[producer, epoch]
        for sequence in sequences[:_SHOWN]:
            before = max((other for other in kept if other < sequence), default=None)
            after = min((other for other in kept if other > sequence), default=None)
            around = [f"{number} at {kept[number].where}" for number in (before, after) if number is not None]
            lines.append(f"hole: sequence {sequence} of {producer}/{epoch}; beside it {', '.join(around) or 'nothing'}")
    return lines


def read_topics(bootstrap: str, *topics: str) -> list[Kept]:
    """Every message on the topics, from offset 0 to their present ends, each checked against its checksum.

    Raises Undecodable for a record that is damaged, TimeoutError.
    """
    # Not the client that our services use: a bug shared by writer and reader would hide itself.
    consumer = Consumer(
        {"bootstrap.servers": bootstrap, "group.id": "audit", "enable.auto.commit": False, "log_level": 0}
    )
    try:
        end: dict[tuple[str, int], int] = {}
        for topic in topics:
            for partition in consumer.list_topics(topic, timeout=10).topics[topic].partitions:
                _, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=10)
                if high:
                    end[topic, partition] = high
        consumer.assign([TopicPartition(topic, partition, 0) for topic, partition in end])
        found: list[Kept] = []
        deadline = time.monotonic() + _READ_DEADLINE_S
        while end:
            messages: Any = consumer.consume(1_000, 0.1)
            for message in messages:
                if message.error():
                    continue
                place = (message.topic(), message.partition())
                if message.offset() + 1 >= end.get(place, 0):
                    end.pop(place, None)
                found.append(_kept(message))
            if time.monotonic() > deadline:
                raise TimeoutError(f"read {len(found)} records, not all, within {_READ_DEADLINE_S:g} s")
        return found
    finally:
        consumer.close()


def _kept(record: Any) -> Kept:
    where = f"{record.topic()}/{record.partition()}@{record.offset()}"
    writer, body = framing.split(record.value(), {})
    if not headers.verify_checksum(body, record.headers() or ()):
        raise Undecodable("malformed_header", f"{where} has no checksum")
    decode = codec.decode_login_event if writer.name == LOGIN_EVENT.name else codec.decode_raw_write
    return Kept.of(decode(body, writer), where)


async def read_spool(directory: Path, backend: str) -> tuple[list[Kept], dict[Stream, int]]:
    """What waits in a spool that no process uses, and the last sequence that it gave out."""
    async with open_spool(directory, backend=backend) as spool:
        rows = [Kept.of(decoded(row), f"{directory}#{row.sequence}") for row in await read_all(spool)]
        return rows, {(spool.backend, spool.epoch): spool.last_sequence} if spool.last_sequence else {}

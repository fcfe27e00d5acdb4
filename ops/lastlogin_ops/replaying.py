"""What becomes of records that were set aside when they are judged by the rules of today. Pure."""

from collections import Counter
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, NamedTuple

from lastlogin_ops.set_aside import Found, bounded, short
from lastlogin_service.counting import counted


# Messages of one replay that are known again: 20 MB. More than these are published however often they are there.
_REMEMBERED = 200_000


class Message(NamedTuple):
    """A login for the events topic; it goes where the logins of `user` go."""

    key: bytes | None
    value: bytes
    headers: list[tuple[str, bytes]]
    user: bytes


class Unfit(NamedTuple):
    """Still no login, and why."""

    reason: str
    detail: str


class Passed(NamedTuple):
    """Neither a login to be published nor left over; `why` continues "2 are "."""

    why: str


@dataclass(slots=True)
class Share:
    """What became of the records that were set aside for one reason; `unfit` by the reason of today."""

    records: int = 0
    published: int = 0
    passed: Counter[str] = field(default_factory=Counter)
    unfit: Counter[str] = field(default_factory=Counter)
    why: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Outcome:
    """What became of all records. What is published is counted by who publishes it, when Kafka has it."""

    shares: dict[str, Share] = field(default_factory=dict)
    _known: set[bytes] = field(default_factory=set)

    @property
    def published(self) -> int:
        """How many were published, or would be."""
        return sum(share.published for share in self.shares.values())

    @property
    def unfit(self) -> int:
        """How many still do not fit."""
        return sum(share.unfit.total() for share in self.shares.values())

    @property
    def records(self) -> int:
        """How many were looked at."""
        return sum(share.records for share in self.shares.values())

    def share_of(self, found: Found) -> Share:
        """Where a record is counted."""
        return self.shares.setdefault(bounded(found.reason, self.shares), Share())

    def add(self, found: Found, verdict: Message | Unfit | Passed) -> Message | None:
        """Count a record unless it is to be published: then return the message.

        A copy is not published again: of a login that was replayed and refused once more there are two records, and
        each further replay would double them.
        """
        share = self.share_of(found)
        share.records += 1
        if isinstance(verdict, Message):
            if self._is_new(verdict):
                return verdict
            verdict = Passed("left out as a copy")
        if isinstance(verdict, Passed):
            share.passed[verdict.why] += 1
        else:
            self.refuse(found, verdict)
        return None

    def _is_new(self, message: Message) -> bool:
        digest = blake2b(message.value, digest_size=16).digest()
        is_new = digest not in self._known
        if is_new and len(self._known) < _REMEMBERED:
            self._known.add(digest)
        return is_new

    def refuse(self, found: Found, unfit: Unfit) -> None:
        """Count a record that is no login today either."""
        share = self.share_of(found)
        reason = bounded(unfit.reason, share.unfit)
        share.unfit[reason] += 1
        share.why.setdefault(reason, unfit.detail)

    def document(self, *, published: bool) -> dict[str, Any]:
        """Return everything for programs; `published` when that was done, and not only tried."""
        return {
            "published": published,
            "records": self.records,
            "logins": self.published,
            "unfit": self.unfit,
            "reasons": {
                reason: {
                    "records": share.records,
                    "logins": share.published,
                    "passed": share.passed.total(),
                    "unfit": {why: {"records": count, "detail": share.why[why]} for why, count in share.unfit.items()},
                }
                for reason, share in self.shares.items()
            },
        }

    def lines(self, *, published: bool) -> list[str]:
        """Lines for people, one for each reason."""
        return [
            _line(reason, share, published=published)
            for reason, share in sorted(self.shares.items(), key=lambda item: -item[1].records)
        ]


def _line(reason: str, share: Share, *, published: bool) -> str:
    text = (
        f"{reason}: {counted(share.records, 'record')}; {share.published:,} {'' if published else 'would be '}published"
    )
    for why, count in share.passed.items():
        text += f"; {counted(count, 'is', 'are')} {why}"
    for why, count in share.unfit.most_common():
        text += f"; {counted(count, 'still does', 'still do')} not fit, {why}: {short(share.why[why])}"
    return text

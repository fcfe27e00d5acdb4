"""What becomes of writes that were set aside when they are read by other rules. Pure."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from lastlogin_ops.quarantined import Found, bounded, short
from lastlogin_schemas.codec import encode_login_event
from lastlogin_schemas.event import LoginEvent, RawWrite
from lastlogin_schemas.headers import message_headers


Interpret: TypeAlias = Callable[[RawWrite], LoginEvent | RawWrite | None]
"""A write by the producer's rules: a login, what still goes to the quarantine, or None for what a rule drops."""


@dataclass(slots=True)
class Share:
    """What became of the records that were set aside for one reason; `unfit` by the reason of today."""

    records: int = 0
    logins: int = 0
    dropped: int = 0
    unfit: Counter[str] = field(default_factory=Counter)
    why: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Outcome:
    """What became of all records. Logins are counted by who publishes them, when they are published."""

    shares: dict[str, Share] = field(default_factory=dict)

    @property
    def logins(self) -> int:
        """How many became logins, or would."""
        return sum(share.logins for share in self.shares.values())

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

    def judge(self, found: Found, interpret: Interpret) -> LoginEvent | None:
        """Read a record by the rules of today, and count it unless it is a login, which is returned."""
        share = self.share_of(found)
        share.records += 1
        if not isinstance(found.write, RawWrite):
            self.refuse(found, found.write.reason, found.write.detail)
            return None
        now = interpret(found.write)
        if isinstance(now, LoginEvent):
            return now._replace(backend=found.write.backend, epoch=found.write.epoch, sequence=found.write.sequence)
        if now is None:
            share.dropped += 1
        else:
            self.refuse(found, now.reason, now.detail)
        return None

    def refuse(self, found: Found, reason: str, detail: str) -> None:
        """Count a record that is no login today either."""
        share = self.share_of(found)
        reason = bounded(reason, share.unfit)
        share.unfit[reason] += 1
        share.why.setdefault(reason, detail)

    def text(self, *, published: bool) -> str:
        """Lines for people, a line for each reason."""
        if not self.shares:
            return "Nothing to replay: the quarantine has no such record."
        return "\n".join(
            _line(reason, share, published=published)
            for reason, share in sorted(self.shares.items(), key=lambda item: -item[1].records)
        )


def message_of(event: LoginEvent) -> tuple[bytes, list[tuple[str, bytes]]]:
    """Avro body and headers, as its producer would have published it: `origin` is that of the write."""
    body = encode_login_event(event)
    return body, message_headers(body, event.backend, event.epoch, event.sequence)


def _line(reason: str, share: Share, *, published: bool) -> str:
    became = "became" if published else "would become"
    text = f"{short(reason)}: {share.records} record{'s' * (share.records != 1)}; "
    text += f"{share.logins} {became} login{'s' * (share.logins != 1)}"
    if share.dropped:
        text += f"; {share.dropped} {'are' if share.dropped != 1 else 'is'} dropped by a rule"
    for why, count in share.unfit.most_common():
        text += f"; {count} still do{'es' * (count == 1)} not fit, {short(why)}: {short(share.why[why])}"
    return text

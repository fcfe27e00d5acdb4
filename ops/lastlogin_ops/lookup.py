"""A row of the table as people and programs read it. Pure.

An address counts only where it was written together with the time beside it (equal write times): rows that
Dovecot itself wrote may show the address of one login beside the time of another.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

from lastlogin_ops.tailing import visible
from lastlogin_schemas.columns import Columns
from lastlogin_schemas.table import ServiceColumns, TableMapping
from lastlogin_service.counting import counted


# Mail that arrives is not somebody who looks: these never make a mailbox "used".
DELIVERIES = ("lmtp", "lda")

_NAMES = {"imap": "IMAP", "pop3": "POP3", "lmtp": "last delivery (LMTP)", "lda": "last delivery (LDA)"}
_TIME, _ADDRESS = "last_login_", "remote_ip_"

_MINUTE, _HOUR, _DAY, _YEAR = 60, 3_600, 86_400, 31_557_600
# Clocks of mail hosts differ by so much without anything being wrong.
_CLOCK_SLACK_S = 2


@dataclass(frozen=True, slots=True)
class Use:
    """The newest login or delivery of one service; `address` is None where none belongs to this time."""

    service: str
    at: datetime
    address: str | None

    @property
    def epoch_ms(self) -> int:
        """Milliseconds since 1970-01-01 UTC."""
        return (self.at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class Lookup:
    """What the table says of a user: for each of its services the newest use, or None."""

    user: str
    uses: Mapping[str, Use | None]
    keeps_addresses: bool

    @property
    def last_login(self) -> Use | None:
        """The newest login by any service; deliveries are none."""
        return max(self._of(delivery=False), key=lambda use: use.at, default=None)

    @property
    def last_delivery(self) -> Use | None:
        """The newest delivery."""
        return max(self._of(delivery=True), key=lambda use: use.at, default=None)

    def _of(self, *, delivery: bool) -> Iterator[Use]:
        return (use for use in self.uses.values() if use and (use.service in DELIVERIES) is delivery)


def shown(wanted: TableMapping, columns: Columns) -> TableMapping:
    """What is read of a table with these columns, as far as it has it.

    Unless `[columns]` says otherwise the key has any name, and after the manual's services comes any other with a
    column `last_login_<service>` of type timestamp.
    """
    if wanted != TableMapping(wanted.keyspace, wanted.table):
        return wanted
    times = (name for name, column in columns.items() if column.type == "timestamp" and name.startswith(_TIME))
    others = {name.removeprefix(_TIME) for name in times} - wanted.services.keys()
    services = {service: ServiceColumns(_TIME + service, _ADDRESS + service) for service in sorted(others)}
    key = [name for name, column in columns.items() if column.kind in ("partition_key", "clustering")]
    return replace(wanted, user=key[0] if len(key) == 1 else wanted.user, services={**wanted.services, **services})


def one_row(mapping: TableMapping, rows: Sequence[Sequence[Any]]) -> Sequence[Any] | None:
    """What `select_cql(mapping)` gave, also of a table with a row per service, as one row; None when there is none."""
    if mapping.service is None or not rows:
        return rows[0] if rows else None
    by_service = {row[0]: row[1:] for row in rows}
    none = (None,) * (len(rows[0]) - 1)
    return [None, *(value for service in mapping.services for value in by_service.get(service, none))]


def lookup_of(user: str, mapping: TableMapping, row: Sequence[Any]) -> Lookup:
    """Read what `one_row` gave; its times are UTC without saying so, as the driver's are."""
    values = iter(row[1:])
    uses: dict[str, Use | None] = {}
    for service, columns in mapping.services.items():
        at, written = next(values), next(values)
        address, address_written = (next(values), next(values)) if columns.address is not None else (None, None)
        # "No address" is an empty text where addresses are text.
        address = address if address and address_written == written else None
        uses[service] = Use(service, at.replace(tzinfo=UTC), address) if at else None
    return Lookup(user, uses, any(columns.address for columns in mapping.services.values()))


def text(lookup: Lookup, now: datetime, zone: tzinfo | None) -> str:
    """Lines for people, times in `zone` (None: this machine's)."""
    rows = [_row(service, use, lookup.keeps_addresses, now, zone) for service, use in lookup.uses.items()]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)
    return "\n".join([f"{visible(lookup.user)}: {_headline(lookup, now)}", "", *lines])


def document(lookup: Lookup) -> dict[str, Any]:
    """Return the same for programs: times as ISO 8601 in UTC and as milliseconds since 1970."""

    def entry(use: Use | None) -> dict[str, Any] | None:
        if use is None:
            return None
        iso = use.at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return {"time": iso, "epoch_ms": use.epoch_ms, "address": use.address}

    def newest(use: Use | None) -> dict[str, Any] | None:
        return {"service": use.service, **(entry(use) or {})} if use is not None else None

    return {
        "user": lookup.user,
        "found": True,
        "last_login": newest(lookup.last_login),
        "last_delivery": newest(lookup.last_delivery),
        "services": {service: entry(use) for service, use in lookup.uses.items()},
    }


def ago(at: datetime, now: datetime) -> str:
    """Distance of two times in words, in the largest unit that makes at least one, whole units only."""
    seconds = (now - at).total_seconds()
    if abs(seconds) <= _CLOCK_SLACK_S:
        return "just now"
    words = _length(abs(seconds))
    return f"{words} ago" if seconds > 0 else f"{words} in the future: a clock is wrong"


def _length(seconds: float) -> str:
    for unit, name in ((_YEAR, "year"), (_DAY, "day"), (_HOUR, "hour"), (_MINUTE, "minute"), (1, "second")):
        if (count := int(seconds // unit)) >= 1:
            return counted(count, name)
    return "less than a second"


def _headline(lookup: Lookup, now: datetime) -> str:
    if (login := lookup.last_login) is not None:
        return f"last login was by {_name(login.service)} {ago(login.at, now)}"
    if (delivery := lookup.last_delivery) is not None:
        return f"no login recorded, only deliveries, the last {ago(delivery.at, now)}"
    return "no login recorded"


def _name(service: str) -> str:
    return _NAMES.get(service, visible(service))


def _row(service: str, use: Use | None, addresses: bool, now: datetime, zone: tzinfo | None) -> tuple[str, ...]:  # noqa: FBT001 - private, and named at its one call
    name = _name(service)
    if use is None:
        return name, "none recorded", "", ""
    time = use.at.astimezone(zone).isoformat(" ", "seconds")
    origin = (f"from {visible(use.address)}" if use.address else "no address recorded") if addresses else ""
    return name, time, ago(use.at, now), origin

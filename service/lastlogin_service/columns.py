"""`[columns]`: which columns of the table hold what, for those who write it and those who read it."""

import re
from collections.abc import Iterator
from typing import Annotated

from pydantic import Field

from lastlogin_schemas.event import MAX_SERVICE_BYTES
from lastlogin_schemas.table import SERVICES, AddressType, ServiceColumns, TableMapping
from lastlogin_service.cassandra import IDENTIFIER, IDENTIFIER_ALLOWED, Identifier
from lastlogin_service.settings import Section, matching


# Stands in a column's name for the service's.
PLACE = "{service}"

# Five years at most. Cassandra refuses rows that would expire after 2038-01-19, 5.0 unless told otherwise.
TtlSeconds = Annotated[int, Field(ge=1, le=157_680_000)]
# By how much a login may be ahead of its record's append time.
FutureLimitSeconds = Annotated[float, Field(ge=0, le=86_400 * 365)]
FUTURE_LIMIT_S = 300.0

_PATTERN = rf"\w*\{{service\}}\w*|{IDENTIFIER}"
_PATTERN_ALLOWED = f"{IDENTIFIER_ALLOWED}, in which {PLACE} stands for the service"
_Pattern = Annotated[str, matching(_PATTERN, _PATTERN_ALLOWED)]
_PatternOrNone = Annotated[str, matching(f"{_PATTERN}|", f"{_PATTERN_ALLOWED}, or empty")]
_Service = Annotated[
    str,
    matching(
        rf"[^\x00-\x1f\x7f/]{{1,{MAX_SERVICE_BYTES}}}",
        f"must be a service: up to {MAX_SERVICE_BYTES} characters without /",
    ),
]


class ColumnSettings(Section):
    """`[columns]`: one row per user with columns for each service, or one row per user and service."""

    user: Identifier = "user"
    # With it one row per user and service.
    service: Identifier | None = None
    time: _Pattern = "last_login_{service}"
    # Empty: the table keeps no addresses.
    address: _PatternOrNone = "remote_ip_{service}"
    address_type: AddressType = "inet"
    services: list[_Service] = Field(default=list(SERVICES), min_length=1, max_length=1_000)
    # Columns of services that are named otherwise.
    times: dict[_Service, Identifier] = Field(default={}, max_length=1_000)
    addresses: dict[_Service, Identifier] = Field(default={}, max_length=1_000)

    def problems(self) -> Iterator[tuple[str, str]]:
        """Columns that would hold two things, or that no table can have."""
        for key, own in (("times", self.times), ("addresses", self.addresses)):
            if unknown := sorted(own.keys() - set(self.services)):
                yield key, f"{unknown[0]} is not one of services; must be {' or '.join(self.services)}"
        if self.service is not None:
            yield from self._not_shared()
        wanted = self.mapping("", "")
        for service, columns in wanted.services.items():
            for key, name in (("times", columns.time), ("addresses", columns.address)):
                if name is not None and not re.fullmatch(IDENTIFIER, name, re.ASCII):
                    yield key, f"{service}: {name} {IDENTIFIER_ALLOWED}; name another column for this service"
        names = [name for name, _ in wanted.columns()]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            yield "time", f"{twice[0]} would hold two things; each must have a column of its own"

    def _not_shared(self) -> Iterator[tuple[str, str]]:
        why = "because service is given: all services share the columns time and address"
        for key, pattern in (("time", self.time), ("address", self.address)):
            if PLACE in pattern:
                yield key, f"must be a name without {PLACE}, {why}"
        for key, own in (("times", self.times), ("addresses", self.addresses)):
            if own:
                yield key, f"must not be given, {why}"

    def mapping(self, keyspace: str, table: str) -> TableMapping:
        """Return the table that is wanted."""
        services = {
            service: ServiceColumns(
                self.times.get(service, self.time.replace(PLACE, service)),
                self.addresses.get(service, self.address.replace(PLACE, service)) or None,
            )
            for service in self.services
        }
        return TableMapping(keyspace, table, self.user, services, self.service, self.address_type)

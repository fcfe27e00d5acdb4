"""All maps of last_login together: the one table that they write, as `[columns]` has it. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from lastlogin_consumer.dovecot.key_patterns import key_pattern
from lastlogin_consumer.dovecot.maps import Column, DictMap, parts
from lastlogin_consumer.dovecot.syntax import MapError, Note
from lastlogin_service.columns import PLACE


# What keys of the plugin begin with, as it is delivered: it writes to what all users share.
PREFIX = "shared/last-login/"
# The plugin's own default has no service.
_NO_SERVICE = "imap"

# What variables are called, in Dovecot's documentation and by those who follow it.
_ROLES = {
    **dict.fromkeys(("user", "username", "userid", "u", "mailbox", "account", "email"), "user"),
    **dict.fromkeys(("service", "s", "protocol", "proto"), "service"),
    **dict.fromkeys(("ip", "r", "rip", "remote_ip", "remoteip", "address", "addr", "client_ip"), "address"),
}


@dataclass(slots=True)
class Table:
    """What the maps that were taken on say of the table."""

    prefix: str
    notes: list[Note] = field(default_factory=list)
    keyspace: str | None = None
    # What the producers must read, with the line of its first map.
    key_patterns: dict[str, int] = field(default_factory=dict)
    # Where a time is first said to be text.
    text_time: int | None = None
    _roles: dict[str, Column] = field(default_factory=dict)
    # By service; "" is that of a column.
    _times: dict[str, Column] = field(default_factory=dict)
    _addresses: dict[str, Column] = field(default_factory=dict)
    # What each column holds, by name: a consumer writes it as one thing.
    _held: dict[str, tuple[str, Column]] = field(default_factory=dict)
    # Services whose column holds something else.
    _left_out: set[str] = field(default_factory=set)

    @property
    def name(self) -> str:
        """Name of the table."""
        return self._roles["table"].name

    def take(self, each: DictMap) -> None:
        """Add a map. Raises `MapError` when one consumer cannot write both it and those before."""
        self.notes += each.notes
        roles: dict[str, Column] = {}
        before: list[str] = []
        behind: list[str] = []
        key: list[tuple[str, str, str | None]] = []
        for kind, name in parts(each, self.prefix):
            role = _ROLES.get(name.lower()) if kind else None
            if not kind:
                (behind if "user" in roles else before).append(name)
            elif role is None or role in roles:
                column = each.fields[name]
                self.notes.append(Note(column.line, f"the column {column.name} is ${name}, which is not written"))
                role = None
            else:
                roles[role] = each.fields[name]
            key.append((kind, name, role))
        if "user" not in roles:
            raise MapError(each.line, f"nothing in the pattern {each.pattern} is the user; call it $user")
        # Dovecot 2.4.5: the key of a field ends in its name.
        of_address = [_ROLES.get(name) for name in behind] == ["address"]
        if len(before) > 1 or not (of_address or behind in ([], ["access"])):
            self.notes.append(Note(each.line, f"the key {each.pattern} has no counterpart: left out"))
            return
        self._one("table", each.table)
        self._one("user", roles["user"])
        self.keyspace = each.keyspace or self.keyspace
        service = self._service(each, roles.get("service"), before)
        if of_address:
            self._add(self._addresses, "address", service, each.value)
            return
        of_service = before[0] if before and service else None
        self.key_patterns.setdefault(key_pattern(self.prefix, key, of_service), each.line)
        self.text_time = self.text_time or each.text_time
        self._add(self._times, "time", service, each.value)
        if "address" in roles:
            self._add(self._addresses, "address", service, roles["address"])

    def _service(self, each: DictMap, column: Column | None, texts: list[str]) -> str:
        """Return the service that the map is of; "" where it has a column."""
        if (self._times or self._addresses) and (column is None) is ("service" in self._roles):
            raise MapError(each.line, "some maps have a column for the service and others have none; must be alike")
        if column is not None:
            self._one("service", column)
            return ""
        if texts:
            return texts[0]
        told = f'set default_service = "{_NO_SERVICE}" in [dicts.<name>] of the producers'
        self.notes.append(Note(each.line, f"the key has no service: {told}"))
        return _NO_SERVICE

    def _one(self, role: str, column: Column) -> None:
        first = self._roles.setdefault(role, column)
        if role != "table":
            self._hold(f"the {role}", column)
        if first.name != column.name:
            raise MapError(
                column.line,
                f"{role} is {column.name}, and {first.name} in line {first.line}; one consumer writes one table",
            )

    def _add(self, columns: dict[str, Column], kind: str, service: str, column: Column) -> None:
        what = f"the {kind} of {service}" if service else f"the {kind}"
        if (shared := self._hold(what, column)) is not None:
            self.notes.append(Note(column.line, shared))
            self._left_out |= {service} if kind == "time" else set()
            return
        first = columns.setdefault(service, column)
        if first.name != column.name:
            self.notes.append(
                Note(column.line, f"the column {column.name} is not written: line {first.line} goes before")
            )

    def _hold(self, what: str, column: Column) -> str | None:
        """Keep a column for `what`; return why it cannot be. Raises `MapError` when it is part of the key."""
        held, first = self._held.setdefault(column.name, (what, column))
        if held == what:
            return None
        told = f"the column {column.name} is {held} in line {first.line}"
        if held in ("the user", "the service"):
            raise MapError(column.line, f"{told}; must be another one for {what}")
        told += f": {what} must have one of its own, and is left out"
        both_times = what.startswith("the time of") and held.startswith("the time of")
        return f"{told}; a rule of the producers can make both one service" if both_times else told

    def columns(self) -> dict[str, Any]:
        """Keys of `[columns]`."""
        if not self._times:
            raise MapError(0, f"no map of {self.prefix} has the time of a login; --prefix names other keys")
        found: dict[str, Any] = {"user": self._roles["user"].name}
        if "service" in self._roles:
            found |= {"service": self._roles["service"].name, "time": self._times[""].name}
            return found | {"address": self._addresses[""].name if self._addresses else ""}
        if lost := sorted(self._addresses.keys() - self._times.keys() - self._left_out):
            raise MapError(self._addresses[lost[0]].line, f"no map has the time of the service {lost[0]}")
        times = {service: column.name for service, column in self._times.items()}
        addresses = {service: column.name for service, column in self._addresses.items() if service in times}
        found |= _pattern("time", "times", times)
        if len(addresses) < len(times):
            return found | {"address": "", "services": list(times)} | ({"addresses": addresses} if addresses else {})
        return found | _pattern("address", "addresses", addresses) | {"services": list(times)}


def _pattern(key: str, others: str, columns: dict[str, str]) -> dict[str, Any]:
    """One pattern for all columns, where there is one."""
    patterns = {column.replace(service, PLACE, 1) for service, column in columns.items()}
    if len(patterns) == 1 and PLACE in (pattern := patterns.pop()):
        return {key: pattern}
    return {others: columns}


def table_of(maps: Iterable[DictMap], prefix: str) -> Table:
    """Take all maps on whose keys begin with `prefix`. Raises `MapError`."""
    table = Table(prefix)
    others = []
    for each in maps:
        if each.pattern.startswith(prefix):
            table.take(each)
        else:
            others.append(Note(each.line, f"{each.pattern} does not begin with {prefix}: left out"))
    table.notes += others
    return table

"""A whole file of Dovecot's as settings of the consumer. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

from lastlogin_consumer.dovecot.connection import connect_settings, connection, server_settings
from lastlogin_consumer.dovecot.key_patterns import key_notes
from lastlogin_consumer.dovecot.maps import new_maps, old_maps
from lastlogin_consumer.dovecot.syntax import Block, MapError, Note, Setting, parse
from lastlogin_consumer.dovecot.table import Table, table_of
from lastlogin_schemas.table import SERVICES


@dataclass(frozen=True, slots=True)
class Imported:
    """Keys of `[cassandra]` and `[columns]`, and what a person must know."""

    cassandra: dict[str, Any]
    columns: dict[str, Any]
    notes: list[Note]


def imported(text: str, prefix: str) -> Imported:
    """Read a map file of 2.2 and 2.3, or a configuration of 2.4. Raises `MapError`.

    `prefix` is what keys of last_login begin with.
    """
    root = parse(text)
    owners = list(_owners(root))
    servers, table = _of_configuration(root, owners, prefix) if owners else _of_map_file(root, prefix)
    columns = table.columns()
    found, notes = connection(servers)
    if table.keyspace is not None:
        found["keyspace"] = table.keyspace
    for key, what in (("contact_points", "host"), ("keyspace", "keyspace")):
        if key not in found:
            notes.append(Note(0, f"no {what} is given: set cassandra.{key}"))
    if "password" in found:
        notes.append(Note(0, "the password is in the output: keep it from others, or name a password_file"))
    if "service" in columns:
        notes.append(Note(0, "columns.services says which services are written; name all that you have"))
    if columns.get("address") == "":
        notes.append(Note(0, _no_addresses(columns)))
    if table.text_time is not None:
        told = "Dovecot stored a null for each time if the column is a timestamp; the consumer writes the time"
        notes.append(Note(table.text_time, f"the time is a string here: {told}"))
    notes += key_notes(table.key_patterns)
    if columns.get("address") != "" or "addresses" in columns:
        notes.append(
            Note(0, 'the file does not tell whether addresses are inet or text; if text, columns.address_type = "text"')
        )
    return Imported(
        found | {"table": table.name},
        columns,
        sorted([*table.notes, *notes], key=lambda note: (note.line == 0, note.line)),
    )


def _no_addresses(columns: dict[str, Any]) -> str:
    if "service" in columns:
        return (
            "no map has addresses, so none will be kept; name a column in columns.address, and `lastlogin schema plan` "
            "adds it"
        )
    services = columns["services"]
    lacking = ", ".join(each for each in services if each not in columns.get("addresses", {}))
    webmail = " (and the line services, for webmail)" if set(services) <= set(SERVICES) - {"webmail"} else ""
    return (
        f"no map has addresses of {lacking}, so none will be kept; remove the line address{webmail}, and `lastlogin "
        "schema plan` adds the columns"
    )


def _of_map_file(root: Block, prefix: str) -> tuple[Iterator[Setting], Table]:
    if (root.settings or root.blocks) and not (root.setting("connect") or any(e.kind == "map" for e in root.blocks)):
        raise _main_configuration(root)
    for each in root.settings:
        if each.name != "connect":
            # Its name is not repeated: after a line that was cut it may be a password.
            raise MapError(each.line, "unknown setting; outside of maps there is only connect")
    connect = root.setting("connect")
    table = table_of(old_maps(root), prefix)
    return connect_settings(connect) if connect is not None else iter(()), table


def _main_configuration(root: Block) -> MapError:
    dicts = [each for block in root.blocks if block.kind == "dict" for each in block.settings]
    named = [each for each in dicts if each.value.startswith("cassandra:")]
    told = "no map file, has neither map nor connect; give the file that Dovecot's dict { ... = cassandra:FILE } names"
    if named:
        return MapError(named[0].line, f"{told}: {named[0].value.removeprefix('cassandra:')}")
    lines = [each.line for each in root.settings] + [each.line for each in root.blocks]
    return MapError(min(lines), told)


def _of_configuration(root: Block, owners: list[Block], prefix: str) -> tuple[Iterator[Setting], Table]:
    ours = [each for each in owners if any(m.name.startswith(prefix) for m in each.blocks if m.kind == "dict_map")]
    if len(ours) > 1:
        raise MapError(
            ours[1].line, f"this dict has maps of {prefix}, and so has that of line {ours[0].line}; keep one"
        )
    owner = ours[0] if ours else owners[0]
    table = table_of(new_maps(owner), prefix)
    includes = (each for each in root.settings if each.name.startswith("!include"))
    table.notes += [Note(each.line, f"{each.name} {each.value} is not followed") for each in includes]
    driver = owner.setting("sql_driver")
    if driver is not None and driver.value != "cassandra":
        table.notes.append(
            Note(driver.line, f"the database is {driver.value}: set cassandra.contact_points to another")
        )
    blocks = [root] if owner is root else [root, owner]
    return chain.from_iterable(map(server_settings, blocks)), table


def _owners(block: Block) -> Iterator[Block]:
    if any(each.kind == "dict_map" for each in block.blocks):
        yield block
    for each in block.blocks:
        yield from _owners(each)

"""How Dovecot reaches its database, as `[cassandra]` has it. Pure."""

import re
from collections.abc import Iterable, Iterator
from typing import Any

from lastlogin_consumer.dovecot.syntax import Block, MapError, Note, Setting


# Dovecot's name to ours.
_TEXTS = {
    "dbname": "keyspace",
    "keyspace": "keyspace",
    "user": "username",
    "password": "password",
    "ssl_ca": "ca_file",
    "ssl_ca_file": "ca_file",
    "ssl_client_ca_file": "ca_file",
    "ssl_cert_file": "cert_file",
    "ssl_private_key_file": "key_file",
}
# Others of Dovecot's, for its driver of Cassandra, that have no counterpart.
_OTHERS = (
    *("version", "ssl_verify", "ssl_private_key_password", "debug_queries", "log_level", "log_retries", "metrics"),
    *("read_consistency", "read_fallback_consistency", "write_consistency", "write_fallback_consistency"),
    *("delete_consistency", "delete_fallback_consistency", "latency_aware_routing", "num_threads", "page_size"),
    *("connect_timeout", "request_timeout", "warn_timeout", "idle_timeout", "heartbeat_interval"),
    *("execution_retry_interval", "execution_retry_times"),
)
_LAST_PORT = 65_535
_CONNECT = {"host", "hosts", "port", *_TEXTS, *_OTHERS}
_VERIFIED = ("cert-ip", "cert-dns")
_WHY = {
    "ssl_verify": ": certificates and their names are always checked",
    "version": ": cassandra.protocol_version is 5 unless set to 4",
}
_LEVELS = ("ONE", "TWO", "THREE", "QUORUM", "ALL", "LOCAL_QUORUM", "EACH_QUORUM", "LOCAL_ONE")
_HOST = re.compile(r"[\w.:-]{1,255}", re.ASCII)
_DRIVERS = ("mysql", "pgsql", "sqlite", "cassandra")


def connect_settings(connect: Setting) -> Iterator[Setting]:
    """Settings within `connect = host=192.0.2.1 dbname=statsdb` (2.2, 2.3). Raises `MapError`."""
    for number, part in enumerate(connect.value.split(), 1):
        name, equals, value = part.partition("=")
        # A word is not repeated unless it is a name of Dovecot's: it may be the rest of a password with spaces.
        word = f"word {number} of connect"
        if not equals:
            raise MapError(connect.line, f"{word} is no name=value; a value has no spaces, in quotes neither")
        yield Setting(name if name in _CONNECT else word, value, connect.line)


def server_settings(block: Block) -> Iterator[Setting]:
    """Settings of the server in a `dict { ... }` of 2.4."""
    for each in block.settings:
        if each.name.startswith("cassandra_"):
            yield Setting(each.name.removeprefix("cassandra_"), each.value, each.line)
    for inner in block.blocks:
        if inner.kind in _DRIVERS:
            # A label of 2.4; only the others' drivers take it for their host.
            if inner.name and inner.kind != "cassandra":
                yield Setting("host", inner.name, inner.line)
            for each in inner.settings:
                yield Setting(each.name.removeprefix(f"{inner.kind}_"), each.value, each.line)


def connection(settings: Iterable[Setting]) -> tuple[dict[str, Any], list[Note]]:
    """Keys of `[cassandra]`, and what has no counterpart there. Raises `MapError`."""
    found: dict[str, Any] = {}
    notes: list[Note] = []
    for each in settings:
        if each.name in ("host", "hosts"):
            found.setdefault("contact_points", []).extend(_hosts(each))
        elif each.name in _TEXTS:
            found[_TEXTS[each.name]] = each.value
        elif each.name == "port":
            found["port"] = _port(each)
        elif each.name == "write_consistency" and (level := each.value.upper().replace("-", "_")) in _LEVELS:
            found["consistency"] = level
        elif each.name != "ssl_verify" or each.value not in _VERIFIED:
            notes.append(Note(each.line, f"{each.name} has no counterpart{_WHY.get(each.name, '')}"))
    if found.keys() & {"ca_file", "cert_file", "key_file"}:
        found["tls"] = True
    return found, notes


def _hosts(setting: Setting) -> list[str]:
    names = re.split(r"[\s,]+", setting.value.strip())
    if wrong := [name for name in names if not _HOST.fullmatch(name)]:
        raise MapError(setting.line, f"{wrong[0] or 'an empty text'} is no host name or address")
    return names


def _port(setting: Setting) -> int:
    value = setting.value
    if not (value.isascii() and value.isdecimal() and 0 < int(value) <= _LAST_PORT):
        raise MapError(setting.line, f"port is {value}, must be 1 to {_LAST_PORT}")
    return int(value)

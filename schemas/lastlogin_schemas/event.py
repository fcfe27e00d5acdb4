"""The messages, as values.

`LoginEvent` is one use of a mailbox; `RawWrite` is a dict write that could be stored but not understood.
Their fields are documented once, in the Avro schemas beside this module.
"""

from collections.abc import Mapping
from functools import lru_cache
from hashlib import blake2b
from typing import Literal, NamedTuple, get_args


# Garbage is told from a login time by these bounds (2000-01-01 and 2100-01-01 UTC, microseconds): Dovecot 2.0
# is of 2010, and every clock that is merely wrong stays inside, to be judged against Kafka's append time.
MIN_LOGIN_AT_US = 946_684_800_000_000
MAX_LOGIN_AT_US = 4_102_444_800_000_000

# Cassandra refuses a partition key of 65,536 bytes or more.
MAX_USER_BYTES = 65_535

# Longest service name we take for one. Dovecot's own are at most 15 bytes long (indexer-worker, managesieve).
MAX_SERVICE_BYTES = 64

QuarantineReason = Literal[
    "bad_user",
    "bad_key",
    "key_mismatch",
    "bad_value",
    "bad_address",
    "bad_service",
    "extra_keys",
]
QUARANTINE_REASONS: tuple[QuarantineReason, ...] = get_args(QuarantineReason)


_NO_ATTRIBUTES: Mapping[str, str] = {}


class LoginEvent(NamedTuple):
    """One login or delivery. Times are microseconds since 1970-01-01 UTC.

    A tuple, since one is made for every login and again for every record: a frozen dataclass costs 1 us more.
    """

    user: str
    service: str
    login_at_us: int
    remote_ip: str | None = None
    attributes: Mapping[str, str] = _NO_ATTRIBUTES
    backend: str = ""
    dict_name: str = ""
    dict_key: str = ""
    event_id: str = ""
    received_at_us: int = 0
    epoch: int = 0
    sequence: int = 0


class RawWrite(NamedTuple):
    """A write for the quarantine: what Dovecot sent, unescaped, and why it is not a `LoginEvent`."""

    user: bytes
    reason: str
    detail: str = ""
    dict_name: str = ""
    entries: tuple[tuple[bytes, bytes], ...] = ()
    backend: str = ""
    received_at_us: int = 0
    epoch: int = 0
    sequence: int = 0


def event_id(
    *,
    backend: str,
    dict_name: str,
    user: str,
    service: str,
    login_at_us: int,
    remote_ip: str | None,
    dict_key: str,
    attributes: Mapping[str, str],
) -> str:
    """Name the content of a write: equal for each copy of it, whenever and however often it arrived.

    The recipe is part of the contract; the schema's `event_id` field spells it out.
    """
    data = b"".join(
        (
            _frequent(backend),
            _frequent(dict_name),
            _framed(user),
            _frequent(service),
            _framed(str(login_at_us)),
            _frequent(remote_ip or ""),
            _framed(dict_key),
        )
    )
    for name in sorted(attributes):
        data += _framed(name) + _framed(attributes[name])
    return blake2b(data, digest_size=16).hexdigest()


_LENGTHS = [length.to_bytes(4, "big") for length in range(256)]


def _framed(text: str) -> bytes:
    data = text.encode()
    try:
        return _LENGTHS[len(data)] + data
    except IndexError:
        return len(data).to_bytes(4, "big") + data


# Names and addresses that come again and again; 1 MiB when full.
_frequent = lru_cache(maxsize=4_096)(_framed)

"""What is in a write, each taken by itself: bytes to values, or the reason why not."""

from functools import lru_cache

from lastlogin_producer.keys import SHARED
from lastlogin_schemas import address
from lastlogin_schemas.event import (
    MAX_LOGIN_AT_US,
    MAX_SERVICE_BYTES,
    MAX_USER_BYTES,
    MIN_LOGIN_AT_US,
    QuarantineReason,
)


# last_login_precision by the number of digits: s, ms, us, ns; each a factor and a divisor to microseconds.
_PRECISIONS = {10: (1_000_000, 1), 13: (1_000, 1), 16: (1, 1), 19: (1, 1_000)}

# Fields beside the login (last_login_dict_fields): Dovecot's documentation shows one.
MAX_FIELDS = 16
MAX_FIELD_NAME_BYTES = 64
MAX_FIELD_BYTES = 1_024


class UnusableError(Exception):
    """A write that is no login: the reason, and the same in a sentence without names."""

    def __init__(self, reason: QuarantineReason, detail: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.detail = detail


def user_name(user: bytes) -> str:
    """Text of a user name."""
    if not user:
        raise UnusableError("bad_user", "the write names no user")
    return _text(user, MAX_USER_BYTES, "bad_user", "the user name")


def _text(data: bytes, longest: int, reason: QuarantineReason, what: str) -> str:
    if len(data) > longest:
        raise UnusableError(reason, f"{what} is longer than {longest} bytes")
    if 0 in data:
        raise UnusableError(reason, f"{what} contains a NUL")
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise UnusableError(reason, f"{what} is not UTF-8") from None


# There are few services, and each login has one.
@lru_cache(maxsize=256)
def service_name(name: bytes) -> str:
    """Text of a service's name."""
    if not is_word(name, MAX_SERVICE_BYTES):
        raise UnusableError("bad_service", f"the service is not 1 to {MAX_SERVICE_BYTES} bytes of printable text")
    return name.decode()


def is_word(name: bytes, longest: int) -> bool:
    """Whether `name` is printable text of 1 to `longest` bytes without a slash."""
    try:
        return 0 < len(name) <= longest and b"/" not in name and name.decode().isprintable()
    except UnicodeDecodeError:
        return False


# Parsing an address is a third of the work of an event, and webmail hosts and phones come again. 1 MiB when full.
@lru_cache(maxsize=4_096)
def canonical_address(text: bytes) -> str:
    """Text of an address as it is recorded. Raises ValueError for what is none."""
    if b"." not in text and b":" not in text:
        # `access` of Dovecot 2.4.5, for every login: parsing would take ten times as long.
        raise ValueError("not an address")
    return address.canonical(text.decode("ascii"))


def login_time_us(value: bytes) -> int:
    """Microseconds since 1970-01-01 UTC from a time of any of Dovecot's precisions."""
    precision = _PRECISIONS.get(len(value))
    if precision is None or not value.isdigit():
        raise UnusableError("bad_value", "the value is not 10, 13, 16 or 19 digits")
    login_at_us = int(value) * precision[0] // precision[1]
    if not MIN_LOGIN_AT_US <= login_at_us < MAX_LOGIN_AT_US:
        raise UnusableError("bad_value", "the value is not a time between the years 2000 and 2100")
    return login_at_us


def field_name(key: bytes, login_key: bytes, user: bytes) -> str:
    """Name of a field beside the login of `user` under `login_key`.

    Such a key is `shared/<name>`, or stands where the user's part of the login's key ends. What stands elsewhere may
    well be somebody else's.
    """
    directory, _, name = key.rpartition(b"/")
    own = directory + b"/" == SHARED or directory == login_key
    if not own and directory == login_key.rpartition(b"/")[0]:
        own = directory.endswith(b"/" + user) and not login_key.endswith(b"/" + user)
    if not own:
        raise UnusableError("extra_keys", "a further key of the transaction does not belong to the login's")
    if not is_word(name, MAX_FIELD_NAME_BYTES):
        raise UnusableError("extra_keys", f"a field's name is not 1 to {MAX_FIELD_NAME_BYTES} bytes of printable text")
    return name.decode()


def field_value(value: bytes) -> str:
    """Text of a field beside the login."""
    return _text(value, MAX_FIELD_BYTES, "extra_keys", "a field")

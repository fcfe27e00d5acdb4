"""What a dict write means: a login, or something to put aside with the reason why.

Keys are told by patterns as in Dovecot's dict maps, such as `last-login/$service/$user/$ip`. A user may contain
`/`, so a key alone can be read in several ways: `last-login/imap/a/192.0.2.1` is a login of `a` from an address,
or one of the user `a/192.0.2.1`. But the transaction names its user, and patterns are matched around just that.
"""

import re
from collections.abc import Iterator, Sequence
from enum import Enum, auto
from functools import lru_cache
from typing import Final, NamedTuple, TypeAlias

from lastlogin_producer.dictproto import CommittedWrite
from lastlogin_schemas import address
from lastlogin_schemas.event import (
    MAX_LOGIN_AT_US,
    MAX_SERVICE_BYTES,
    MAX_USER_BYTES,
    MIN_LOGIN_AT_US,
    LoginEvent,
    QuarantineReason,
    RawWrite,
    event_id,
)


# Dovecot's shared key space, where the plugin writes; configured keys go without (DICT_PATH_SHARED).
_SHARED = "shared/"

# last_login_precision by the number of digits: s, ms, us, ns; each a factor and a divisor to microseconds.
_PRECISIONS = {10: (1_000_000, 1), 13: (1_000, 1), 16: (1, 1), 19: (1, 1_000)}

# Parsing an address is a third of the work of an event, and webmail hosts and phones come again. 1 MiB when full.
_canonical = lru_cache(maxsize=4_096)(address.canonical)


class _Variable(Enum):
    USER = auto()
    SERVICE = auto()
    IP = auto()


_Part: TypeAlias = bytes | _Variable

# Looked up once: an enum's attributes are slow, and these are compared for every login.
_USER: Final = _Variable.USER
_SERVICE: Final = _Variable.SERVICE
_IP: Final = _Variable.IP

_VARIABLES = {"$user": _USER, "$service": _SERVICE, "$ip": _IP}
_SHAPES = {_USER: b".+", _SERVICE: b"[^/]*", _IP: b"[^/]*"}


class KeyMatch(NamedTuple):
    """What a pattern finds in a key; None for what it does not have."""

    service: bytes | None
    ip: bytes | None


class KeyPattern:
    """One pattern of keys, with or without `shared/`.

    Its variables stand between slashes: `$user`, `$service` (up to the next slash), and at the end `$ip` (all the
    rest). Raises ValueError with a sentence for people when it cannot work.
    """

    def __init__(self, text: str) -> None:
        parts = text.removeprefix(_SHARED).split("/")
        variables = [part for part in parts if "$" in part]
        if unknown := [part for part in variables if part not in _VARIABLES]:
            raise ValueError(f"{text}: {unknown[0]} is not one of $user, $service and $ip between slashes")
        if variables.count("$user") != 1 or len(set(variables)) < len(variables):
            raise ValueError(f"{text}: must have $user once, and may have $service once and $ip once")
        if "$ip" in parts[:-1]:
            raise ValueError(f"{text}: $ip must come last")
        self.has_service = "$service" in variables
        self._parts = tuple(_parts_of(parts))
        shape = b"".join(re.escape(part) if isinstance(part, bytes) else _SHAPES[part] for part in self._parts)
        self._shape = re.compile(shape, re.DOTALL)

    def match(self, key: bytes, user: bytes) -> KeyMatch | None:
        """Read the whole of `key` as one of `user`."""
        service = ip = None
        position = 0
        for part in self._parts:
            if part is _SERVICE:
                end = key.find(b"/", position)
                service = key[position:] if end < 0 else key[position:end]
                position += len(service)
            elif part is _IP:
                ip = key[position:]
                position = len(key)
            else:
                literal = user if part is _USER else part
                if not key.startswith(literal, position):
                    return None
                position += len(literal)
        return KeyMatch(service, ip) if position == len(key) else None

    def fits_anyone(self, key: bytes) -> bool:
        """Whether `key` could be one of some user."""
        return self._shape.fullmatch(key) is not None


class EventRules:
    """How this producer reads writes. `patterns` are tried in order.

    `default_service` is the service of keys without one, such as the plugin's own default `last-login/%u`.
    Raises ValueError with a sentence for people for rules that cannot work.
    """

    def __init__(self, backend: str, patterns: Sequence[str], default_service: str | None = None) -> None:
        if not patterns:
            raise ValueError("at least one key pattern is needed")
        self._backend = backend
        self._patterns = [KeyPattern(text) for text in patterns]
        self._default_service = default_service
        for text, pattern in zip(patterns, self._patterns, strict=True):
            if default_service is None and not pattern.has_service:
                raise ValueError(f"{text}: has no $service, so a default service is needed")
        if default_service is not None and not _is_service(default_service.encode()):
            raise ValueError(f"a default service must be 1 to {MAX_SERVICE_BYTES} bytes of printable text without /")

    def interpret(self, write: CommittedWrite, received_at_us: int) -> LoginEvent | RawWrite:
        """Turn a write into a login, or into what goes to the quarantine. Its numbers are the spool's to give."""
        try:
            return self._login(write, received_at_us)
        except _UnusableError as unusable:
            return RawWrite(
                user=write.user,
                reason=unusable.reason,
                detail=unusable.detail,
                dict_name=write.dict_name,
                entries=write.entries,
                backend=self._backend,
                received_at_us=received_at_us,
            )

    def _login(self, write: CommittedWrite, received_at_us: int) -> LoginEvent:
        if len(write.entries) != 1:
            raise _UnusableError("extra_keys", f"{len(write.entries)} keys in one transaction")
        key, value = write.entries[0]
        user = _user(write.user)
        found = self._match(key, write.user)
        service = self._service(found.service)
        remote_ip = _address(found.ip) if found.ip else None
        login_at_us = _time(value)
        # Whole text by now: it consists of the pattern, the service, the user and the address.
        dict_key = key.decode()
        return LoginEvent(
            user=user,
            service=service,
            login_at_us=login_at_us,
            remote_ip=remote_ip,
            backend=self._backend,
            dict_name=write.dict_name,
            dict_key=dict_key,
            event_id=event_id(
                backend=self._backend,
                dict_name=write.dict_name,
                user=user,
                service=service,
                login_at_us=login_at_us,
                remote_ip=remote_ip,
                dict_key=dict_key,
                attributes={},
            ),
            received_at_us=received_at_us,
        )

    def _match(self, key: bytes, user: bytes) -> KeyMatch:
        for pattern in self._patterns:
            found = pattern.match(key, user)
            if found is not None:
                return found
        if any(pattern.fits_anyone(key) for pattern in self._patterns):
            raise _UnusableError("key_mismatch", "the key is not one of the transaction's user")
        raise _UnusableError("bad_key", "the key fits no configured pattern")

    def _service(self, found: bytes | None) -> str:
        if found is None:
            assert self._default_service is not None  # noqa: S101 - the constructor has seen to it
            return self._default_service
        if not _is_service(found):
            raise _UnusableError("bad_service", f"the service is not 1 to {MAX_SERVICE_BYTES} bytes of printable text")
        return found.decode()


class _UnusableError(Exception):
    def __init__(self, reason: QuarantineReason, detail: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.detail = detail


def _parts_of(parts: Sequence[str]) -> Iterator[_Part]:
    literal = _SHARED
    for part in parts:
        variable = _VARIABLES.get(part)
        if variable is None:
            literal += part
        else:
            yield literal.encode()
            yield variable
            literal = ""
        literal += "/"
    if rest := literal[:-1]:
        yield rest.encode()


def _user(user: bytes) -> str:
    if not user:
        raise _UnusableError("bad_user", "the transaction names no user")
    if len(user) > MAX_USER_BYTES:
        raise _UnusableError("bad_user", f"the user name is longer than {MAX_USER_BYTES} bytes")
    if b"\x00" in user:
        raise _UnusableError("bad_user", "the user name contains a NUL")
    try:
        return user.decode()
    except UnicodeDecodeError:
        raise _UnusableError("bad_user", "the user name is not UTF-8") from None


def _is_service(name: bytes) -> bool:
    try:
        return 0 < len(name) <= MAX_SERVICE_BYTES and b"/" not in name and name.decode().isprintable()
    except UnicodeDecodeError:
        return False


def _address(text: bytes) -> str:
    try:
        return _canonical(text.decode("ascii"))
    except ValueError:
        raise _UnusableError("bad_address", "the key does not end in an address") from None


def _time(value: bytes) -> int:
    if len(value) not in _PRECISIONS or not value.isdigit():
        raise _UnusableError("bad_value", "the value is not 10, 13, 16 or 19 digits")
    factor, divisor = _PRECISIONS[len(value)]
    login_at_us = int(value) * factor // divisor
    if not MIN_LOGIN_AT_US <= login_at_us < MAX_LOGIN_AT_US:
        raise _UnusableError("bad_value", "the value is not a time between the years 2000 and 2100")
    return login_at_us

"""Key patterns: which parts of a dict key say what.

Patterns look as in Dovecot's dict maps: `last-login/$service/$user/$ip`. A user may contain `/`, so a key alone can
be read in several ways: `last-login/imap/a/192.0.2.1` is a login of `a` from an address, or one of the user
`a/192.0.2.1`. But the transaction names its user, and patterns are matched around just that. Where the key spells
the user otherwise (`user_from = "key"`), `$user` ends at the next slash, unless it comes last.
"""

import re
from collections.abc import Iterator, Sequence
from enum import Enum, auto
from typing import Final, Literal, TypeAlias


UserFrom: TypeAlias = Literal["begin", "key"]

# The user, the service and the address; None for what the pattern does not have. A plain tuple: one per login.
Found: TypeAlias = tuple[bytes, bytes | None, bytes | None]

# Dovecot's shared key space, where the plugin writes; configured keys go without (DICT_PATH_SHARED).
SHARED = b"shared/"


class _Variable(Enum):
    USER = auto()
    SERVICE = auto()
    IP = auto()
    DOMAIN = auto()
    # Two of Dovecot's variables in one part, %n@%d.
    USER_AT_DOMAIN = auto()


_Part: TypeAlias = bytes | _Variable

# Looked up once: an enum's attributes are slow, and these are compared for every login.
_USER: Final = _Variable.USER
_SERVICE: Final = _Variable.SERVICE
_IP: Final = _Variable.IP
_DOMAIN: Final = _Variable.DOMAIN
_USER_AT_DOMAIN: Final = _Variable.USER_AT_DOMAIN

_VARIABLES = {
    "$user": _USER,
    "$service": _SERVICE,
    "$ip": _IP,
    "$domain": _DOMAIN,
    "$user@$domain": _USER_AT_DOMAIN,
}
_KNOWN = "$user, $service, $ip, $domain and $user@$domain"

# What a part may be, as a pattern for anybody's keys, and as one that finds the user.
_SHAPES = {_USER: b".+", _SERVICE: b"[^/]*", _IP: b".*", _DOMAIN: b"[^/]*", _USER_AT_DOMAIN: b".+"}
_GROUPS = {
    _USER: b"(?P<user>[^/]+)",
    _SERVICE: b"(?P<service>[^/]*)",
    _IP: b"(?P<ip>.*)",
    _DOMAIN: b"(?P<domain>[^/]*)",
    _USER_AT_DOMAIN: b"(?P<user>[^/@]+)@(?P<domain>[^/]*)",
}
_LAST_GROUPS = {_USER: b"(?P<user>.+)", _USER_AT_DOMAIN: b"(?P<user>[^/@]+)@(?P<domain>.*)"}


class KeyPattern:
    """One pattern of keys, with or without `shared/`.

    Its variables stand between slashes: `$user`, `$service` (up to the next slash), `$domain` (the user's own, or
    nothing), and at the end `$ip` (all the rest). Raises ValueError with a sentence for people when it cannot work.
    """

    def __init__(self, text: str, user_from: UserFrom = "begin") -> None:
        parts = text.removeprefix(SHARED.decode()).split("/")
        variables = [part for part in parts if "$" in part]
        if unknown := [part for part in variables if part not in _VARIABLES]:
            raise ValueError(f"{text}: {unknown[0]} is not one of {_KNOWN} between slashes")
        names = "@".join(variables).split("@")
        if names.count("$user") != 1 or len(set(names)) < len(names):
            raise ValueError(f"{text}: must have $user once, and may have $service, $ip and $domain once each")
        if "$ip" in parts[:-1]:
            raise ValueError(f"{text}: $ip must come last")
        self.text = text
        self.has_service = "$service" in variables
        self.has_ip = "$ip" in variables
        self._parts = tuple(_parts_of(parts))
        self._anyone = _compiled(self._parts, _SHAPES)
        self._finding = _compiled(self._parts, _GROUPS)
        # What finds the user of a key: (key, the transaction's user) -> what is in the key, or None.
        self.match = self._around if user_from == "begin" else self._find

    def fits_anyone(self, key: bytes) -> bool:
        """Whether `key` could be one of some user."""
        return self._anyone.fullmatch(key) is not None

    def _around(self, key: bytes, user: bytes) -> Found | None:
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
            elif part is _DOMAIN:
                position += len(_own_domain(key, position, user))
            else:
                literal = user if part is _USER or part is _USER_AT_DOMAIN else part
                if not key.startswith(literal, position):
                    return None
                position += len(literal)
        return (user, service, ip) if position == len(key) else None

    def _find(self, key: bytes, _user: bytes) -> Found | None:
        """Read the whole of `key`; a `$domain` completes a user without one, and must be that of a user with one."""
        match = self._finding.fullmatch(key)
        if match is None:
            return None
        found = match.groupdict()
        user, domain = found["user"], found.get("domain")
        if domain:
            if b"@" not in user:
                user = b"%b@%b" % (user, domain)
            elif not user.endswith(b"@" + domain):
                return None
        return user, found.get("service"), found.get("ip")


def _parts_of(parts: Sequence[str]) -> Iterator[_Part]:
    literal = SHARED.decode()
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


def _compiled(parts: Sequence[_Part], shapes: dict[_Variable, bytes]) -> re.Pattern[bytes]:
    last = _LAST_GROUPS if shapes is _GROUPS else {}
    shape = b"".join(re.escape(part) if isinstance(part, bytes) else shapes[part] for part in parts[:-1])
    end = parts[-1]
    shape += re.escape(end) if isinstance(end, bytes) else last.get(end, shapes[end])
    return re.compile(shape, re.DOTALL)


def _own_domain(key: bytes, position: int, user: bytes) -> bytes:
    """Return the domain of `user` if it stands at `position`; else nothing.

    Dovecot's %d begins behind the first @ or, since 2.4, behind the last.
    """
    if b"@" in user:
        for domain in (user.partition(b"@")[2], user.rpartition(b"@")[2]):
            if key.startswith(domain, position):
                return domain
    return b""

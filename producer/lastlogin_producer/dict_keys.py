"""The keys of one dict: which of them are logins, whose, over which service, from where."""

from collections.abc import Mapping, Sequence
from typing import Protocol, TypeAlias

from lastlogin_producer.fields import (
    MAX_FIELDS,
    UnusableError,
    canonical_address,
    field_name,
    field_value,
    is_word,
    service_name,
)
from lastlogin_producer.keys import KeyPattern, UserFrom
from lastlogin_schemas.event import MAX_SERVICE_BYTES


Entry: TypeAlias = tuple[bytes, bytes]

# The user, the service, the address, and the address as it stands at the end of the key. A plain tuple: one per login.
Login: TypeAlias = tuple[bytes, str, str | None, bytes | None]

# The field that is the client's address; all others are attributes.
_ADDRESS_FIELD = "ip"


class DictSection(Protocol):
    """`[dicts.<name>]`: which keys are logins. `default_service` is that of keys without one."""

    @property
    def key_patterns(self) -> Sequence[str]:
        """Patterns, tried in order."""

    @property
    def default_service(self) -> str | None:
        """Service of keys without one."""

    @property
    def user_from(self) -> UserFrom:
        """Where the user stands."""


class DictKeys:
    """How the keys of one dict are read. Raises ValueError with a sentence for people when they cannot be."""

    def __init__(self, section: DictSection) -> None:
        if not section.key_patterns:
            raise ValueError("at least one key pattern is needed")
        self.user_from = section.user_from
        self._patterns = [KeyPattern(text, section.user_from) for text in section.key_patterns]
        # Looked up once for all logins.
        self._matches = [pattern.match for pattern in self._patterns]
        self._default_service = section.default_service
        if section.default_service is None:
            for pattern in self._patterns:
                if not pattern.has_service:
                    raise ValueError(f"{pattern.text}: has no $service, so a default service is needed")
        elif not is_word(section.default_service.encode(), MAX_SERVICE_BYTES):
            raise ValueError(f"a default service must be 1 to {MAX_SERVICE_BYTES} bytes of printable text without /")

    def find(self, key: bytes, user: bytes) -> Login | None:
        """Read a login's key in a transaction of `user`: by the first pattern that fits; `$ip` only fits addresses.

        None when it is no login's, `unusable` says why. Raises UnusableError for a login of an impossible service.
        """
        no_address = False
        for match in self._matches:
            found = match(key, user)
            if found is None:
                continue
            name, service, ip = found
            if no_address and name != user and b"/" in name:
                # Else what stands behind a user would be taken for a part of the name: another user's row.
                continue
            remote_ip = None
            if ip:
                try:
                    remote_ip = canonical_address(ip)
                except ValueError:
                    no_address = True
                    continue
            return name, self._default_service or "" if service is None else service_name(service), remote_ip, ip
        return None

    def unusable(self, *keys: bytes, user: bytes) -> UnusableError:
        """Why none of these keys is a login's: what is wrong with the one that is nearest to it."""
        if any(match(key, user) for key in keys for match in self._matches):
            return UnusableError("bad_address", "the key does not end in an address")
        if any(pattern.fits_anyone(key) for key in keys for pattern in self._patterns):
            return UnusableError("key_mismatch", "the key is not one of the transaction's user")
        return UnusableError("bad_key", "the key fits no configured pattern")

    def read_all(self, entries: Sequence[Entry], user: bytes) -> tuple[Entry, Login, Mapping[str, str]]:
        """Read several keys of one transaction: which is the login's, the login, and the further fields by name.

        Raises UnusableError when there is not exactly one login, or when what else there is are no fields of it.
        """
        if len(entries) > 1 + MAX_FIELDS:
            raise UnusableError("extra_keys", f"more than {MAX_FIELDS} fields beside a login")
        login_entry, (name, service, remote_ip, at_end) = self._only_login(entries, user)
        fields: dict[str, str] = {}
        for key, value in entries:
            if key == login_entry[0]:
                continue
            field = field_name(key, login_entry[0], name)
            if field in fields:
                raise UnusableError("extra_keys", "a field is there twice")
            fields[field] = field_value(value)
        if ip := fields.pop(_ADDRESS_FIELD, ""):
            try:
                told = canonical_address(ip.encode())
            except ValueError:
                raise UnusableError("bad_address", "the field ip is no address") from None
            if remote_ip not in (None, told):
                raise UnusableError("bad_address", "key and field tell different addresses")
            remote_ip = told
        return login_entry, (name, service, remote_ip, at_end), fields

    def _only_login(self, entries: Sequence[Entry], user: bytes) -> tuple[Entry, Login]:
        logins = [(entry, login) for entry in entries if (login := self.find(entry[0], user)) is not None]
        if not logins:
            raise self.unusable(*(key for key, _ in entries), user=user)
        if len(logins) > 1:
            raise UnusableError("extra_keys", "two logins in one transaction")
        return logins[0]

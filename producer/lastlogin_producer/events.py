"""What a dict write means: a login, something to put aside with the reason why, or nothing to record."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol, Self

from lastlogin_producer.dict_keys import DictKeys, DictSection
from lastlogin_producer.dictproto import CommittedWrite
from lastlogin_producer.fields import UnusableError, login_time_us, user_name
from lastlogin_producer.rules import Dropped, LoginRules, RuleSection
from lastlogin_schemas.event import LoginEvent, RawWrite, event_id


class UsersSection(Protocol):
    """`[users]`: how user names are written."""

    @property
    def lower_case(self) -> bool:
        """Whether A to Z become a to z."""

    @property
    def default_domain(self) -> str | None:
        """Domain of users without one."""


class Sections(Protocol):
    """The settings that rules are made of."""

    @property
    def dicts(self) -> Mapping[str, DictSection]:
        """Dicts by name."""

    @property
    def rules(self) -> Sequence[RuleSection]:
        """Rules, from top to bottom."""

    @property
    def users(self) -> UsersSection:
        """How users are recorded."""


class EventRules:
    """How this producer reads writes. They do not change: other rules are another object.

    `keys` and `rules` are by dict; only those dicts that have rules are in `rules`, and `elsewhere` are the rules of
    all dicts. `services` are those that the settings name.
    """

    def __init__(
        self,
        backend: str,
        keys: Mapping[str, DictKeys],
        users: UsersSection,
        rules: Mapping[str, LoginRules],
        elsewhere: LoginRules,
        *,
        services: Sequence[str],
    ) -> None:
        self.services = services
        self._backend = backend
        self._keys = keys
        self._lower_case = users.lower_case
        self._at_domain = b"" if users.default_domain is None else b"@" + users.default_domain.encode()
        self._rules = rules
        self._elsewhere = elsewhere

    @classmethod
    def of(cls, settings: Sections, backend: str) -> Self:
        """Rules of `settings` for the producer `backend`. Raises ValueError with a sentence for what cannot work."""
        return cls(
            backend,
            {name: DictKeys(section) for name, section in settings.dicts.items()},
            settings.users,
            {name: rules for name in settings.dicts if (rules := LoginRules(settings.rules, name))},
            LoginRules(settings.rules, None),
            services=tuple(_named_services(settings)),
        )

    @property
    def dict_names(self) -> Sequence[str]:
        """The dicts whose writes are understood."""
        return tuple(self._keys)

    def interpret(self, write: CommittedWrite, received_at_us: int) -> LoginEvent | RawWrite | Dropped:
        """Turn a write into a login, or into what goes to the quarantine. Its numbers are the spool's to give."""
        try:
            return self._login(write, received_at_us)
        except UnusableError as unusable:
            return self._raw(write, received_at_us, unusable)

    def _login(self, write: CommittedWrite, received_at_us: int) -> LoginEvent | Dropped:
        keys = self._keys.get(write.dict_name)
        if keys is None:
            # A conversation that was begun before it was taken out of the configuration.
            raise UnusableError("bad_key", "the dict is not configured any more")
        if keys.user_from == "begin":
            user = self._user(write.user)
        attributes: Mapping[str, str] = {}
        if len(write.entries) == 1:
            key, value = write.entries[0]
            login = keys.find(key, write.user)
            if login is None:
                raise keys.unusable(key, user=write.user)
        else:
            (key, value), login, attributes = keys.read_all(write.entries, write.user)
        found, service, remote_ip, at_end = login
        if keys.user_from == "key":
            user = self._user(found)
        rules = self._rules.get(write.dict_name)
        if rules is not None:
            treatment = rules.treat(service, remote_ip)
            if treatment.dropped is not None:
                return treatment.dropped
            if rules.hide_addresses:
                if at_end and treatment.remote_ip != remote_ip:
                    key = key[: -len(at_end)] + (treatment.remote_ip or "").encode()
                attributes = {
                    rules.hide_in(name, service): rules.hide_in(text, service) for name, text in attributes.items()
                }
            service, remote_ip, _ = treatment
        login_at_us = login_time_us(value)
        # Whole text by now: it consists of the pattern, the service, the user and the address.
        dict_key = key.decode()
        backend, dict_name = self._backend, write.dict_name
        name = event_id(
            backend=backend,
            dict_name=dict_name,
            user=user,
            service=service,
            login_at_us=login_at_us,
            remote_ip=remote_ip,
            dict_key=dict_key,
            attributes=attributes,
        )
        # In the order of the fields: a named tuple takes four times as long to be made by their names.
        return LoginEvent(
            user,
            service,
            login_at_us,
            remote_ip,
            attributes,
            backend,
            dict_name,
            dict_key,
            name,
            received_at_us,
        )

    def _user(self, name: bytes) -> str:
        if self._lower_case:
            # A to Z alone, as Dovecot does it (%L): other letters are not the same everywhere.
            name = name.lower()
        if self._at_domain and name and b"@" not in name:
            name += self._at_domain
        return user_name(name)

    def _raw(self, write: CommittedWrite, received_at_us: int, unusable: UnusableError) -> RawWrite:
        entries = write.entries
        rules = self._rules.get(write.dict_name, self._elsewhere)
        if rules.hide_addresses:
            entries = tuple((rules.hide_in_key(key, write.user), rules.hide(value)) for key, value in entries)
        return RawWrite(
            user=write.user,
            reason=unusable.reason,
            detail=unusable.detail,
            dict_name=write.dict_name,
            entries=entries,
            backend=self._backend,
            received_at_us=received_at_us,
        )


def _named_services(settings: Sections) -> Iterator[str]:
    for section in settings.dicts.values():
        if section.default_service is not None:
            yield section.default_service
    for rule in settings.rules:
        if rule.service is not None:
            yield rule.service
        yield from rule.services or ()

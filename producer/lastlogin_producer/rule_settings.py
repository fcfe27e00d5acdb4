"""`[dicts.<name>]`, `[[rules]]` and `[users]`: which writes are logins, and what becomes of them.

What may change while the producer runs (SIGHUP); how it is meant: `keys`, `rules`, `events`.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated

from pydantic import AfterValidator, Field

from lastlogin_producer.dict_keys import DictKeys
from lastlogin_producer.fields import is_word
from lastlogin_producer.keys import KeyPattern, UserFrom
from lastlogin_producer.rules import Action, AddressRule, network
from lastlogin_schemas.event import MAX_SERVICE_BYTES
from lastlogin_schemas.table import TableMapping
from lastlogin_service.settings import Section, matching


_DICT_NAME = re.compile(r"[^\x00-\x1f\x7f/]{1,255}")
_DOMAIN = matching(r"[^\x00-\x20\x7f/@]{1,255}", "must be a domain, such as example.org")


def _service(name: str) -> str:
    if not is_word(name.encode(), MAX_SERVICE_BYTES):
        raise ValueError(f"must be 1 to {MAX_SERVICE_BYTES} bytes of printable text without /")
    return name


def _network(text: str) -> str:
    network(text)
    return text


Service = Annotated[str, AfterValidator(_service)]


class DictSettings(Section):
    """`[dicts.<name>]`: a dict that Dovecot may ask for, and which of its keys are logins."""

    # What Dovecot's manual configures; the same without an address; the key of 2.4.5, beside which fields stand.
    key_patterns: list[str] = Field(
        default=["last-login/$service/$user/$ip", "last-login/$service/$user", "last-login/$service/$user/access"],
        min_length=1,
        max_length=100,
    )
    default_service: Service | None = None
    user_from: UserFrom = "begin"

    def problems(self) -> Iterator[tuple[str, str]]:
        """Every pattern that cannot work is told, not only the first."""
        found = False
        for pattern in self.key_patterns:
            try:
                KeyPattern(pattern)
            except ValueError as error:
                found = True
                yield "key_patterns", str(error)
        if not found:
            try:
                DictKeys(self)
            except ValueError as error:
                yield "default_service", str(error)


class RuleSettings(Section):
    """One of `[[rules]]`: which logins it is about, and what becomes of them."""

    networks: list[Annotated[str, AfterValidator(_network)]] | None = Field(
        default=None, min_length=1, max_length=10_000
    )
    services: list[Service] | None = Field(default=None, min_length=1, max_length=100)
    dicts: list[str] | None = Field(default=None, min_length=1, max_length=100)
    service: Service | None = None
    address: AddressRule | None = None
    action: Action | None = None

    def problems(self) -> Iterator[tuple[str, str]]:
        """A rule must do something, and no slip may drop all logins."""
        if self.service is None and self.address is None and self.action is None:
            yield "action", "the rule does nothing; it must have a service, an address or an action"
        if self.action == "drop":
            if self.networks is None and self.services is None and self.dicts is None:
                yield "action", "would drop every login; the rule must name networks, services or dicts"
            if self.service is not None or self.address is not None:
                yield "action", "what is dropped has neither service nor address; leave them out"


class UserSettings(Section):
    """`[users]`: how user names are recorded; as Dovecot writes them unless set."""

    lower_case: bool = False
    default_domain: Annotated[str, _DOMAIN] | None = None


def problems_of_dicts(dicts: Mapping[str, DictSettings], rules: Sequence[RuleSettings]) -> Iterator[tuple[str, str]]:
    """Yield (key, what is allowed) for what does not fit together, for `ProducerSettings.problems`."""
    for name in dicts:
        if not _DICT_NAME.fullmatch(name):
            yield "dicts", f"{name}: must be the name of a dict, such as statsdb"
    for rule in rules:
        if unknown := [name for name in rule.dicts or () if name not in dicts]:
            yield "rules", f"{unknown[0]} is not one of [dicts]; must be {' or '.join(dicts)}"


def without_column(dicts: Mapping[str, DictSettings], rules: Sequence[RuleSettings]) -> Iterator[str]:
    """Yield a sentence for each service that logins get and that the delivered table has no column for.

    A service that a later rule is about may become another one there.
    """
    named = [(f"dicts.{name}.default_service", each.default_service, rules) for name, each in dicts.items()]
    named += [(f"rules[{at}].service", rule.service, rules[at + 1 :]) for at, rule in enumerate(rules)]
    columns = TableMapping().services
    for key, service, later in named:
        if service is None or service in columns or any(service in (rule.services or ()) for rule in later):
            continue
        yield (
            f"{key}: {service} - the table as delivered has columns for {', '.join(columns)} only; logins of another "
            "service are on the topic, and the consumer skips them unless its [columns] names it"
        )

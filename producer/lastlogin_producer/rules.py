"""`[[rules]]`: what becomes of a login by where its client is, its service and its dict.

All rules are looked at, from top to bottom. Each that covers a login sets what it names, a later one over an earlier;
`drop` and `keep` end it. A rule's networks are compared with the address as received, its services with the service
as the rules above it left it.

A hidden address is hidden everywhere: also in keys, in fields beside the login, and in writes that are no logins.
"""

import re
from collections import defaultdict
from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Literal, NamedTuple, Protocol, TypeAlias, get_args

from lastlogin_producer.fields import canonical_address


AddressRule: TypeAlias = Literal["keep", "truncate", "omit"]
Action: TypeAlias = Literal["keep", "drop"]

# What a rule that dropped a login looked at; a closed set for metrics.
DropReason = Literal["network", "service", "network_and_service", "dict"]
DROP_REASONS: tuple[DropReason, ...] = get_args(DropReason)

# A site's customer, not a person (as web statistics cut them).
_KEPT_BITS = {4: 24, 6: 48}
_HIDING = ("keep", "truncate", "omit")

# Addresses in a key or field. What looks like one and is none stays. A run of digits is not searched from its middle,
# which takes the square of its length, but for four: an IPv6 address may follow an IPv4 one with nothing between.
_ADDRESSES = re.compile(
    rb"(?:(?<![0-9A-Fa-f])[0-9A-Fa-f]++|[0-9A-Fa-f]{0,4}):[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*"
    rb"|(?<![0-9])[0-9]++\.[0-9]++\.[0-9]++\.[0-9]++"
)

# Clients' addresses come again; 2 MiB when full.
_TREATMENTS = 4_096


class RuleSection(Protocol):
    """A rule as it is configured; None where it does not say."""

    @property
    def networks(self) -> Sequence[str] | None:
        """Networks of clients."""

    @property
    def services(self) -> Sequence[str] | None:
        """Services."""

    @property
    def dicts(self) -> Sequence[str] | None:
        """Names of dicts."""

    @property
    def service(self) -> str | None:
        """Service to record instead."""

    @property
    def address(self) -> AddressRule | None:
        """What is recorded of the address."""

    @property
    def action(self) -> Action | None:
        """How it ends."""


class Dropped(NamedTuple):
    """A login that a rule drops: it is answered as one that is stored, counted, and gone."""

    by: DropReason


class Treatment(NamedTuple):
    """What becomes of a login: its service and address as they are to be recorded, unless it is dropped."""

    service: str
    remote_ip: str | None
    dropped: Dropped | None = None


def network(text: str) -> IPv4Network | IPv6Network:
    """Network such as 192.0.2.0/24, an IPv4-mapped one as IPv4. Raises ValueError with what is allowed instead."""
    try:
        found = ip_network(text, strict=False)
    except ValueError:
        raise ValueError("must be networks such as 192.0.2.0/24 or 2001:db8::/32") from None
    if str(found.network_address) != str(ip_address(text.partition("/")[0])):
        raise ValueError(f"{text} is an address within {found}; must be a network")
    if isinstance(found, IPv6Network) and (mapped := found.network_address.ipv4_mapped) is not None:
        return ip_network((mapped, max(0, found.prefixlen - 96)))
    return found


class LoginRules:
    """The rules of one dict, or (None) those of all dicts. True when there are any."""

    def __init__(self, rules: Sequence[RuleSection], dict_name: str | None) -> None:
        self._rules = [_Rule(rule) for rule in rules if rule.dicts is None or dict_name in rule.dicts]
        self.hide_addresses = any(rule.address not in (None, "keep") for rule in self._rules)
        # What becomes of a login of this service from this address (as text).
        self.treat = lru_cache(_TREATMENTS)(self._treat)

    def __bool__(self) -> bool:
        return bool(self._rules)

    def hide(self, data: bytes, service: str | None = None) -> bytes:
        """Return `data` with each address in it as the rules want it recorded.

        Without a service, what a rule hides for some services is hidden.
        """
        return _ADDRESSES.sub(lambda found: self._hidden(found[0], service), data)

    def hide_in(self, text: str, service: str) -> str:
        """As `hide`, of the text of a login's field."""
        return self.hide(text.encode(), service).decode()

    def hide_in_key(self, key: bytes, user: bytes) -> bytes:
        """As `hide`, of a key of some service, and leaving a part of it that is the user's name."""
        before, name, after = key.partition(b"/" + user) if user else (key, b"", b"")
        if name and after[:1] not in (b"", b"/"):
            before, name, after = key, b"", b""
        return self.hide(before) + name + self.hide(after)

    def _hidden(self, text: bytes, service: str | None) -> bytes:
        try:
            address = ip_address(canonical_address(text))
        except ValueError:
            return text
        how = self._decide(service, address)[1]
        return text if how == "keep" else (_recorded(address, how) or "").encode()

    def _treat(self, service: str, remote_ip: str | None) -> Treatment:
        address = None if remote_ip is None else ip_address(remote_ip)
        found, how, dropped = self._decide(service, address)
        return Treatment(found or service, None if address is None else _recorded(address, how), dropped)

    def _decide(
        self, service: str | None, address: IPv4Address | IPv6Address | None
    ) -> tuple[str | None, AddressRule, Dropped | None]:
        how: AddressRule = "keep"
        for rule in self._rules:
            if not rule.covers(address):
                continue
            if rule.services is not None and service is None:
                # Perhaps one of its services: nothing is shown that it would hide.
                how = max(how, rule.address or how, key=_HIDING.index)
                continue
            if rule.services is not None and service not in rule.services:
                continue
            how = rule.address or how
            if service is not None:
                service = rule.service or service
            if rule.action is not None:
                return service, how, rule.dropped
        return service, how, None


class _Rule:
    def __init__(self, rule: RuleSection) -> None:
        self.services = None if rule.services is None else frozenset(rule.services)
        self.service = rule.service
        self.address = rule.address
        self.action = rule.action
        self.dropped: Dropped | None = None
        if rule.action == "drop":
            looked_at = [
                name for name, at in (("network", rule.networks), ("service", rule.services)) if at is not None
            ]
            self.dropped = Dropped("_and_".join(looked_at) or "dict")  # type: ignore[arg-type]  # one of DROP_REASONS
        self._networks: dict[tuple[int, int], set[int]] | None = None
        if rule.networks is not None:
            # By version and by how many bits are the host's: a thousand networks of one size cost what one does.
            self._networks = defaultdict(set)
            for each in map(network, rule.networks):
                host_bits = each.max_prefixlen - each.prefixlen
                self._networks[each.version, host_bits].add(int(each.network_address) >> host_bits)

    def covers(self, address: IPv4Address | IPv6Address | None) -> bool:
        """Whether a client at `address` is one of this rule's."""
        if self._networks is None:
            return True
        return address is not None and any(
            version == address.version and int(address) >> host_bits in networks
            for (version, host_bits), networks in self._networks.items()
        )


def _recorded(address: IPv4Address | IPv6Address, how: AddressRule) -> str | None:
    if how == "omit":
        return None
    if how == "truncate":
        return str(ip_network((address, _KEPT_BITS[address.version]), strict=False).network_address)
    return str(address)

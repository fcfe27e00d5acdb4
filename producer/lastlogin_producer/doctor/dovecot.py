"""Whether Dovecot's last_login plugin writes what our producer understands. Pure: it is told what it needs to know."""

import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

from lastlogin_producer.doctor.doveconf import Configuration, DictTarget, Scope
from lastlogin_producer.keys import KeyPattern
from lastlogin_service.doctor.report import Line, error, ok, warning


# The plugin's own default, without the service.
DEFAULT_KEY = "last-login/%u"
# Protocols by which users come, and the one by which mail does.
_LOGINS = ("imap", "pop3")
_DELIVERIES = "lmtp"
_PRECISIONS = ("ms", "us", "ns")

SAMPLE_USER = "user@example.org"
_SAMPLE_SERVICE = "imap"
_SAMPLES = {
    "user": SAMPLE_USER,
    "username": SAMPLE_USER.partition("@")[0],
    "domain": SAMPLE_USER.partition("@")[2],
    "service": _SAMPLE_SERVICE,
    "protocol": _SAMPLE_SERVICE,
    "remote_ip": "192.0.2.1",
    "rip": "192.0.2.1",
    "local_ip": "192.0.2.2",
    "lip": "192.0.2.2",
}
_SHORT = {
    "u": "user", "n": "username", "d": "domain", "s": "service", "r": "remote_ip", "l": "local_ip",
}  # fmt: skip
_FILTERS: dict[str, Callable[[str], str]] = {
    "lower": str.lower,
    "upper": str.upper,
    "username": lambda value: value.partition("@")[0],
    "domain": lambda value: value.partition("@")[2],
    "L": str.lower,
    "U": str.upper,
}
# What stands between the slashes of a key, and in the producer's patterns.
_PATTERN_PARTS = {
    "%u": "$user", "%{user}": "$user", "%s": "$service", "%{service}": "$service", "%{protocol}": "$service",
    "%r": "$ip", "%{rip}": "$ip", "%{remote_ip}": "$ip",
    "%d": "$domain", "%{domain}": "$domain", "%{user|domain}": "$domain",
}  # fmt: skip
_VARIABLE = re.compile(r"%(?:(?P<percent>%)|(?P<modifiers>[A-Z]*)(?:\{(?P<long>[^}]*)\}|(?P<short>[a-z])))")


@dataclass(frozen=True, slots=True)
class Producer:
    """What it serves. `socket` as it is configured; `misfit(dict, key, user)` is why a key is no login's, or None."""

    socket: str
    dicts: Collection[str]
    misfit: Callable[[str, str, str], str | None]
    # Path without symbolic links: /var/run is /run.
    resolved: Callable[[str], str]


class CannotExpandError(Exception):
    """A variable that the doctor has no sample for."""


def sample_key(template: str) -> str:
    """What Dovecot makes of `last_login_key` for a user. Raises `CannotExpandError`."""

    def expand(found: re.Match[str]) -> str:
        if found["percent"]:
            return "%"
        name, *filters = (part.strip() for part in (found["long"] or _SHORT.get(found["short"] or "", "")).split("|"))
        if name not in _SAMPLES or not {*filters, *found["modifiers"]} <= set(_FILTERS):
            raise CannotExpandError(found[0])
        value = _SAMPLES[name]
        for each in (*filters, *found["modifiers"]):
            value = _FILTERS[each](value)
        return value

    return _VARIABLE.sub(expand, template)


def key_pattern(template: str) -> KeyPattern | None:
    """The producer's pattern of the keys that `last_login_key` makes; None when there is none that is as simple."""
    text = "/".join(_PATTERN_PARTS.get(part.replace(" ", ""), part) for part in template.split("/"))
    try:
        return None if "%" in text else KeyPattern(text)
    except ValueError:
        return None


def judge(configuration: Configuration, producer: Producer) -> list[Line]:
    """Look at the plugin, its dict, its keys and its precision."""
    return [
        *_plugin(configuration),
        *_by_scope(configuration, producer),
    ]


def _plugin(configuration: Configuration) -> Iterator[Line]:
    check = "dovecot.plugin"
    protocols = configuration.protocols
    if not any(protocols.get(name) for name in (*_LOGINS, _DELIVERIES)):
        yield error(
            check,
            "last_login is in no protocol's mail_plugins, so that nothing is recorded",
            f"{_load_plugin('imap', configuration)}, and the like",
        )
        return
    # A user without a recorded login looks like one who never came; an empty dict says that it is meant.
    off = {scope.where for scope in configuration.scopes if scope.target is not None and not scope.target.driver}
    lacking = [name for name in _LOGINS if protocols.get(name) is False and f"protocol {name}" not in off]
    if lacking:
        do = f"{_load_plugin(lacking[0], configuration)}, and the like"
        if configuration.version < (2, 4):
            do += f"; if it is meant, say so: protocol {lacking[0]} {{ plugin {{ last_login_dict = }} }}"
        yield error(
            check, f"last_login is not in mail_plugins of {', '.join(lacking)}: those logins are not recorded", do
        )
    if protocols.get(_DELIVERIES) is False:
        yield warning(
            check,
            f"last_login is not in mail_plugins of {_DELIVERIES}: deliveries are not recorded",
            f"leave it so where only logins count; else {_load_plugin(_DELIVERIES, configuration)}",
        )
    yield ok(check, f"loaded in {', '.join(name for name, has in protocols.items() if has)}")


def _load_plugin(protocol: str, configuration: Configuration) -> str:
    if configuration.version < (2, 4):
        return f"protocol {protocol} {{ mail_plugins = $mail_plugins last_login }}"
    return f"protocol {protocol} {{ mail_plugins {{ last_login = yes }} }}"


def _by_scope(configuration: Configuration, producer: Producer) -> Iterator[Line]:
    everybody = configuration.scopes[0]
    for scope in configuration.scopes:
        first = scope is everybody
        target = scope.target or everybody.target
        if first or scope.target is not None:
            yield _dict(scope, target, configuration, producer)
        if target is not None and target.driver and (first or scope.key is not None):
            yield _key(scope, target.name, producer)
        if first or scope.precision is not None:
            yield _precision(scope)


def _dict(scope: Scope, target: DictTarget | None, configuration: Configuration, producer: Producer) -> Line:
    check = "dovecot.dict"
    names = sorted(producer.dicts)
    right = f"last_login_dict = proxy:{producer.socket}:{names[0]}"
    if configuration.version >= (2, 4):
        right = f"last_login_dict {{ dict proxy {{ name = {names[0]}; socket_path = {producer.socket} }} }}"
    if target is None or (not target.driver and not scope.where):
        return error(check, f"last_login_dict is not set{_in(scope)}", f"set {right}")
    if not target.driver:
        # Meant: logins of monitoring, as a rule.
        return ok(check, f"turned off{_in(scope)}")
    if target.driver != "proxy":
        return error(check, f"last_login_dict{_in(scope)} is of the driver {target.driver}", f"set {right}")
    socket = f"{configuration.base_dir}/{target.socket or 'dict'}"
    if target.socket is not None and target.socket.startswith("/"):
        socket = target.socket
    if producer.resolved(socket) != producer.resolved(producer.socket):
        found = f"last_login_dict{_in(scope)} goes to {socket}; the producer listens at {producer.socket}"
        return error(check, found, f"set {right}, or socket.path")
    if target.name not in producer.dicts:
        found = f"last_login_dict{_in(scope)} has the name {target.name}; the producer serves {', '.join(names)}"
        return error(check, found, f"set {right}, or add the name to the producer's dicts")
    return ok(check, f"{socket}, name {target.name}{_in(scope)}")


def _key(scope: Scope, dict_name: str, producer: Producer) -> Line:
    check = "dovecot.key"
    template = scope.key if scope.key is not None else DEFAULT_KEY
    shown = f"last_login_key{_in(scope)} is {template}{' (its default)' * (scope.key is None)}"
    if dict_name not in producer.dicts:
        return warning(check, f"{shown}: not looked at", "mend the name of the dict first")
    try:
        key = sample_key(template)
    except CannotExpandError as variable:
        return warning(
            check, f"{shown}: the doctor knows no {variable}", "watch lastlogin_producer_quarantined_total instead"
        )
    if (why := producer.misfit(dict_name, key, SAMPLE_USER)) is not None:
        do = "set last_login_key = last-login/%s/%u/%r, or key_patterns and default_service of the producer"
        if (pattern := key_pattern(template)) is not None:
            do = f'set last_login_key = last-login/%s/%u/%r, or add "{pattern.text}" to key_patterns of the producer'
            do += ", and set its default_service" * (not pattern.has_service)
        return error(check, f"{shown}: all such logins go to the quarantine, because {why}", do)
    return ok(check, shown)


def _precision(scope: Scope) -> Line:
    check = "dovecot.precision"
    precision = scope.precision if scope.precision is not None else "s"
    if precision in _PRECISIONS:
        return ok(check, f"{precision}{_in(scope)}")
    shown = f"last_login_precision{_in(scope)} is {precision}{' (its default)' * (scope.precision is None)}"
    return warning(
        check,
        f"{shown}: of two logins within a second one cannot be told to be the newer",
        "set last_login_precision = ms",
    )


def _in(scope: Scope) -> str:
    return f" in {scope.where}" if scope.where else ""

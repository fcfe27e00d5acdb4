"""What the producers must be told to read the keys of the maps. Pure."""

from collections.abc import Iterable, Mapping

from lastlogin_consumer.dovecot.syntax import Note
from lastlogin_service.rendering import toml_value


# Defaults of the producers' `[dicts.<name>] key_patterns`; a test holds them against theirs.
READ_UNLESS_TOLD = ("last-login/$service/$user/$ip", "last-login/$service/$user", "last-login/$service/$user/access")
_SHARED = "shared/"
_VARIABLES = {"user": "$user", "service": "$service", "address": "$ip"}
_DOMAIN = ("d", "domain")


def key_pattern(prefix: str, parts: Iterable[tuple[str, str, str | None]], service: str | None) -> str:
    """Return the pattern of a producer for (kind, name, role) behind `prefix`; the text `service` is one of several."""
    found = []
    for kind, name, role in parts:
        if role is not None:
            found.append(_VARIABLES[role])
        elif kind:
            found.append("$domain" if name.lower() in _DOMAIN else f"${name}")
        else:
            found.append("$service" if name == service and "$user" not in found else name)
    return prefix + "/".join(found)


def key_notes(patterns: Mapping[str, int]) -> list[Note]:
    """Say what producers must be told; `patterns` are all that are needed, with the lines of their maps."""
    notes, told = [], []
    for pattern, line in patterns.items():
        variables = [part for part in pattern.split("/") if part.startswith("$")]
        unknown = set(variables) - {*_VARIABLES.values(), "$domain"}
        if unknown or len(set(variables)) < len(variables) or "$ip" in pattern.split("/")[:-1]:
            why = "variables are $service, $user, $domain and, at the end, $ip, once each"
            notes.append(Note(line, f"no key_patterns of the producers can be {pattern}: {why}"))
        elif not pattern.startswith(_SHARED):
            notes.append(Note(line, f"the producers read no keys of {pattern}: only those that begin with {_SHARED}"))
        else:
            told.append(pattern.removeprefix(_SHARED))
    if not set(told) <= set(READ_UNLESS_TOLD):
        # A key that ends in an address fits that pattern first, as with the defaults.
        told.sort(key=lambda pattern: not pattern.endswith("/$ip"))
        listed = f"[dicts.<name>] key_patterns = {toml_value(told)}"
        notes.append(Note(0, f"the producers must be told of these keys: {listed}"))
    return notes

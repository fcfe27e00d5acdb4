"""What this configuration's producer makes of dict writes: the one place where the doctor reads `[dicts]`."""

from collections.abc import Collection

from lastlogin_producer.dictproto import CommittedWrite
from lastlogin_producer.events import EventRules
from lastlogin_producer.settings import ProducerSettings
from lastlogin_schemas.event import LoginEvent


# Whoever reads the topic knows by these that nobody logged in. The table has no column for this service, so that the
# consumer writes no row.
DOCTOR_USER = "lastlogin-doctor"
_DOCTOR_SERVICE = "doctor"
# RFC 5737: nobody's.
_ADDRESS = "192.0.2.1"
_SAMPLE_TIME = b"1700000000161"


def names(settings: ProducerSettings) -> Collection[str]:
    """Names of the dicts that are served, the one to recommend first."""
    return list(settings.dicts)


def misfit(settings: ProducerSettings, dict_name: str, key: str, user: str) -> str | None:
    """Say why a write of `user` under `key` (without `shared/`) would not be taken for a login; None when it would."""
    write = CommittedWrite(
        user=user.encode(), dict_name=dict_name, entries=((b"shared/" + key.encode(), _SAMPLE_TIME),)
    )
    message = EventRules.of(settings, settings.backend).interpret(write, 0)
    return None if isinstance(message, LoginEvent) else getattr(message, "detail", "a rule drops it")


def doctor_key(settings: ProducerSettings, dict_name: str) -> str:
    """Return a key, without `shared/`, that is a login of the doctor."""
    patterns = settings.dicts[dict_name].key_patterns
    pattern = next((pattern for pattern in patterns if "$service" in pattern), patterns[0])
    values = {"$user": DOCTOR_USER, "$service": _DOCTOR_SERVICE, "$ip": _ADDRESS, "$domain": ""}
    return "/".join(values.get(part, part) for part in pattern.removeprefix("shared/").split("/"))

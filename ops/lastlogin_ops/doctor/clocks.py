"""Whose clock is ahead: of the backends, of Cassandra's nodes, and of this host. Pure."""

from collections.abc import Iterable, Iterator, Mapping

from lastlogin_service.counting import counted
from lastlogin_service.doctor.report import Line, error, ok, warning


# Enough for two hosts that both have NTP.
_NOTICEABLE_S = 1.0
_NTP = "look at NTP (chronyc tracking, timedatectl) on "


def backends(logins: Iterable[tuple[str, float]], limit_s: float) -> Iterator[Line]:
    """Judge logins by backend, each with the seconds that it is ahead of its record's append time.

    A login that is behind may have waited in a spool: only one that is ahead of what came after it tells of a clock.
    """
    check = "clock.backends"
    furthest: dict[str, float] = {}
    count = 0
    for backend, ahead_s in logins:
        count += 1
        furthest[backend] = max(ahead_s, furthest.get(backend, ahead_s))
    wrong = {backend: ahead_s for backend, ahead_s in sorted(furthest.items()) if ahead_s > _NOTICEABLE_S}
    for backend, ahead_s in wrong.items():
        found = f"{backend}: {ahead_s:.1f} s ahead of Kafka's append time"
        if ahead_s > limit_s:
            yield error(check, f"{found}: its logins are refused as future", f"{_NTP}that backend and the brokers")
        else:
            yield warning(check, f"{found}: its logins win over later ones", f"{_NTP}that backend and the brokers")
    if not count:
        yield ok(check, "no logins on the topic to tell by")
    elif not wrong:
        yield ok(
            check,
            f"none of the {counted(count, 'newest login')} of {counted(len(furthest), 'backend')} "
            "is ahead of Kafka's append time",
        )


def nodes(ahead_s: Mapping[str, float]) -> Iterator[Line]:
    """Judge Cassandra's nodes by how far the clock of each is from ours, at least; below 0 is behind."""
    check = "clock.cassandra"
    wrong = {address: each for address, each in ahead_s.items() if abs(each) > _NOTICEABLE_S}
    for address, each in wrong.items():
        found = f"{address}: {abs(each):.1f} s {'ahead of' if each > 0 else 'behind'} this host"
        yield warning(check, found, f"{_NTP}that node and on this host")
    if ahead_s and not wrong:
        yield ok(check, f"{counted(len(ahead_s), 'node')} within {_NOTICEABLE_S:g} s of this host")


def own(appended_s: float | None, now_s: float, *, kept: bool | None) -> Line:
    """Judge this host by the kernel's word and the append time of the newest record, which cannot be in the future."""
    check = "clock"
    if appended_s is not None and appended_s - now_s > _NOTICEABLE_S:
        found = f"this host is at least {appended_s - now_s:.1f} s behind Kafka's append time"
        return warning(check, found, f"{_NTP}this host and the brokers")
    if kept is False:
        return warning(check, "not synchronised, says the kernel", f"{_NTP}this host")
    said = "synchronised, says the kernel" if kept else "the kernel does not say whether it is synchronised"
    if appended_s is None:
        return ok(check, f"{said}; no record to compare with")
    return ok(check, f"{said}; not behind Kafka's append time")

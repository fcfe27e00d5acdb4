"""What `--check-config` finds out about the world around a service, once its settings are good."""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from lastlogin_service.exits import CONFIG, UNAVAILABLE, Exit


# For each of Kafka and Cassandra: somebody waits for the answer.
DEADLINE_S = 5.0


@dataclass(frozen=True, slots=True)
class Finding:
    """One sentence. `code` is how a service that starts now would end; None: a warning."""

    sentence: str
    code: int | None = None


def finding(end: Exit) -> Finding:
    """What a start would end with. Whoever cannot be reached from here is a warning: build machines check too."""
    return Finding(end.message, None if end.code == UNAVAILABLE else end.code)


async def findings(*steps: Callable[[], Awaitable[Iterable[Finding] | None]]) -> list[Finding]:
    """Do the steps one after the other, and collect what they find or raise as `Exit`."""
    found: list[Finding] = []
    for step in steps:
        try:
            found += await step() or ()
        except Exit as end:
            found.append(finding(end))
    return found


def verdict(found: Iterable[Finding]) -> Exit | None:
    """How the check ends: 78 if a person is needed for any of it; None when there are only warnings."""
    wrong = [each for each in found if each.code is not None]
    if not wrong:
        return None
    codes = {each.code for each in wrong if each.code is not None}
    return Exit(CONFIG if CONFIG in codes else min(codes), "\n".join(each.sentence for each in wrong))

"""What a check of the world finds, and how it ends."""

from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import KafkaError

from lastlogin_service.exits import CONFIG, TEMPFAIL, UNAVAILABLE, Exit
from lastlogin_service.preflight import Finding, findings, verdict
from lastlogin_service.topics import setting_faults, topic_findings


GOOD = {"message.timestamp.type": "LogAppendTime", "cleanup.policy": "delete"}


async def test_every_step_is_done() -> None:
    """A step that fails keeps none behind it from being done; whoever is away is a warning."""

    async def bad() -> None:
        raise Exit(TEMPFAIL, "the port is in use")

    async def away() -> None:
        raise Exit(UNAVAILABLE, "Kafka does not answer")

    async def told() -> list[Finding]:
        return [Finding("wrong", CONFIG)]

    async def good() -> None:
        pass

    assert [
        Finding("the port is in use", TEMPFAIL),
        Finding("Kafka does not answer", None),
        Finding("wrong", CONFIG),
    ] == await findings(bad, away, good, told)


@pytest.mark.parametrize(
    ("codes", "expected"),
    [((None,), None), ((), None), ((TEMPFAIL, None), 75), ((TEMPFAIL, CONFIG), 78), ((CONFIG,), 78)],
)
def test_the_worst_counts(codes: tuple[int | None, ...], expected: int | None) -> None:
    """78 when any problem needs a person, else 75; warnings alone are no reason to fail."""
    end = verdict([Finding("x", code) for code in codes])

    assert expected == (end and end.code)


def test_every_problem_is_told() -> None:
    """Each has a line; warnings are none of them."""
    end = verdict([Finding("a", CONFIG), Finding("w"), Finding("b", TEMPFAIL)])

    assert end is not None
    assert "a\nb" == end.message


@pytest.mark.parametrize("policy", ["delete", ""])
def test_settings_as_wanted(policy: str) -> None:
    """Append time without compaction is what we need."""
    assert [] == setting_faults(GOOD | {"cleanup.policy": policy})


def test_settings_that_break_promises() -> None:
    """Each wrong setting is told with what it must be and why."""
    assert [
        "message.timestamp.type is CreateTime, must be LogAppendTime: else a login from a wrong clock is not noticed",
        "cleanup.policy is compact,delete, must be delete: compaction keeps the highest offset, not the newest login",
    ] == setting_faults({"message.timestamp.type": "CreateTime", "cleanup.policy": "compact,delete"})


class Admin:
    """Stands for aiokafka's admin client where it is refused."""

    def __init__(self, code: int) -> None:
        self._code = code

    async def list_topics(self) -> list[str]:
        return ["e"]

    async def describe_configs(self, _resources: Any) -> list[Any]:
        return [SimpleNamespace(resources=[(self._code, "no", 2, "e", [])])]


async def test_without_the_right_to_look() -> None:
    """Without DescribeConfigs the settings are unknown, which is a warning; a topic that is not there is an error."""
    assert [
        Finding("topics.events: e: its settings could not be checked: grant DescribeConfigs on it"),
        Finding(
            "topics.quarantine: q: no such topic, or no right to see it; make it with `lastlogin topics apply`", CONFIG
        ),
    ] == await topic_findings(Admin(29), {"events": "e", "quarantine": "q"})


async def test_what_kafka_fails_with() -> None:
    """Any other refusal is aiokafka's error."""
    with pytest.raises(KafkaError):
        await topic_findings(Admin(7), {"events": "e"})

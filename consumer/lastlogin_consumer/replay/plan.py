"""Which stretches are read, and what is said of those that Kafka no longer has."""

from collections.abc import Sequence
from dataclasses import dataclass

import click

from lastlogin_consumer.replay import words
from lastlogin_consumer.replay.stretches import Stretch, misfits, there
from lastlogin_consumer.replay.topic import EventsTopic


@dataclass(frozen=True, slots=True)
class Plan:
    """What Kafka has of what was asked for, and a sentence for each partition in which something is gone."""

    stretches: Sequence[Stretch]
    gone: Sequence[str]


async def plan_offsets(topic: EventsTopic, asked: Sequence[Stretch]) -> Plan:
    """As asked for. Raises a usage error, and KafkaError."""
    edges = await topic.edges()
    if wrong := list(misfits(asked, edges)):
        raise click.UsageError("--offsets " + "\n       --offsets ".join(wrong))
    left = {each: there(each, edges[each.partition]) for each in asked}
    shortened = [each for each in asked if left[each].first > each.first]
    appended = await topic.appended_at([each for each in left.values() if each.offsets])
    gone = [words.gone(each, left[each], appended.get(each.partition)) for each in shortened]
    return Plan([each for each in left.values() if each.offsets], gone)


async def plan_since(topic: EventsTopic, since_ms: int) -> Plan:
    """All that was appended since. Raises KafkaError."""
    edges = await topic.edges()
    first = await topic.appended_since(since_ms)
    # To where it ended before we asked.
    stretches = [Stretch(each, first[each], edges[each].end) for each in sorted(first) if first[each] < edges[each].end]
    # Where something was deleted, and what is there may not be all.
    doubtful = [each for each, (begin, end) in edges.items() if begin and first.get(each, end) == begin]
    appended = await topic.appended_at([each for each in stretches if each.partition in doubtful])
    return Plan(
        stretches, [words.begins_later(each, edges[each], appended.get(each), since_ms) for each in sorted(doubtful)]
    )

"""What `lastlogin dlq drop` and `lastlogin quarantine drop` say of what they delete."""

import json
import syslog
from typing import Any

import pytest

from lastlogin_ops import set_aside_commands
from lastlogin_ops.aside_topic import AsideTopic
from lastlogin_ops.dropping import Drop
from lastlogin_ops.quarantined import quarantined
from lastlogin_service.kafka import KafkaSettings
from lastlogin_service.places import Place
from tests.support.aside import WRITE, aside_record


KAFKA = KafkaSettings(bootstrap_servers=["kafka1:9092"])
TOPIC = AsideTopic(KAFKA, "q", "topics.quarantine", lambda record: quarantined(record, {}))


def found() -> Drop:
    """One record in each of two partitions."""
    drop = Drop([Place(0, 17), Place(1, 3)])
    for _ in drop.before:
        drop.tally.add(TOPIC.read(aside_record(WRITE)))
    return drop


def test_for_programs() -> None:
    """Records by reason, their times, and before which offsets they are; nothing of all that where there is none."""
    assert found().document() == {
        "before": ["0:17", "1:3"],
        "records": 2,
        "reasons": {"bad_key": 2},
        "first_at": "2023-11-14T22:13:20.161Z",
        "last_at": "2023-11-14T22:13:20.161Z",
    }
    assert Drop().document() == {"before": [], "records": 0, "reasons": {}, "first_at": None, "last_at": None}


@pytest.mark.parametrize(("asked", "told"), [(True, True), (False, False)])
def test_interrupted(monkeypatch: pytest.MonkeyPatch, *, asked: bool, told: bool) -> None:
    """What is deleted when it ends is told to the log, and where Kafka was asked without an answer; else nothing."""
    lines: list[str] = []

    async def delete(_: Any, drop: Drop) -> None:
        if asked:
            drop.done.append(drop.before[0])
            drop.in_doubt.append(drop.before[1])
        raise KeyboardInterrupt

    monkeypatch.setattr(set_aside_commands, "delete", delete)
    monkeypatch.setattr(syslog, "syslog", lambda _, line: lines.append(line))
    monkeypatch.setattr("lastlogin_service.logs.configure", lambda *_: None)

    with pytest.raises(KeyboardInterrupt):
        set_aside_commands._delete(TOPIC, found())

    assert told == bool(lines)
    for line in map(json.loads, lines):
        assert (line["action"], line["event"]) == ("set_aside_dropped", "Ended while it deleted 2 records of q")
        assert (line["before"], line["in_doubt"], line["reasons"]) == (["0:17"], ["1:3"], ["bad_key=2"])

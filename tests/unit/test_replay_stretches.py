"""Which offsets are asked for, what is left of them, and what is said."""

from collections import Counter
from datetime import UTC

import pytest
from click.testing import CliRunner

from lastlogin_consumer.main import main
from lastlogin_consumer.metrics import Totals
from lastlogin_consumer.replay import words
from lastlogin_consumer.replay.stretches import Edges, Stretch, misfits, stretch_of, there


EDGES = {0: Edges(10, 20), 1: Edges(0, 5)}
# 2023-11-14T22:13:20.161Z
AT_MS = 1_700_000_000_161


def test_stretch() -> None:
    """It is read as it is shown; the last offset belongs to it."""
    stretch = stretch_of("3:17-19")

    assert Stretch(3, 17, 20) == stretch
    assert (3, "3:17-19") == (stretch.offsets, str(stretch))
    assert 1 == stretch_of("0:7-7").offsets


@pytest.mark.parametrize("text", ["", "0", "0:1", "0:1-", "0:-1-2", "a:1-2", "0:1-2-3", "0:1 - 2", "²:1-2"])
def test_stretch_that_is_none(text: str) -> None:
    """Everything else is refused with what would be good."""
    with pytest.raises(ValueError, match="must be PARTITION:FIRST-LAST, such as 0:1700-1799"):
        stretch_of(text)


def test_stretch_that_ends_before_it_begins() -> None:
    """That is said as such."""
    with pytest.raises(ValueError, match="ends before it begins: 4 is below 5"):
        stretch_of("0:5-4")


def test_what_cannot_be_meant() -> None:
    """All of it at once: a partition twice, one that is not there, offsets that are not there yet."""
    asked = [Stretch(0, 10, 20), Stretch(0, 0, 1), Stretch(1, 0, 6), Stretch(7, 0, 1)]

    assert [
        "0:0-0: partition 0 is named twice",
        "1:0-5: goes beyond the end; the last offset of partition 1 is 4",
        "7:0-0: there is no such partition; the topic has 0 to 1",
    ] == list(misfits(asked, EDGES))


@pytest.mark.parametrize(
    ("asked", "left", "said"),
    [
        (Stretch(0, 12, 15), Stretch(0, 12, 15), None),
        (Stretch(0, 8, 15), Stretch(0, 10, 15), "8 to 9 (2) were asked for and are gone: Kafka has deleted them; comp"),
        (Stretch(0, 1, 10), Stretch(0, 10, 10), "1 to 9 (9) were asked for and are gone: Kafka has deleted them; noth"),
    ],
)
def test_what_is_left(asked: Stretch, left: Stretch, said: str | None) -> None:
    """Of what was deleted nothing is left, and exactly that is said."""
    assert left == there(asked, EDGES[0])
    if said is not None:
        assert f"partition 0: offsets {said}" in words.gone(asked, left, AT_MS, UTC)


def test_from_when_on_it_is_complete() -> None:
    """By the append time of the first record that is left, when that is known."""
    asked, left = Stretch(0, 8, 15), Stretch(0, 10, 15)

    assert words.gone(asked, left, AT_MS, UTC).endswith("; complete from 10 on, appended 2023-11-14 22:13:20.161+00:00")
    assert words.gone(asked, left, None, UTC).endswith("; complete from 10 on")


def test_a_partition_that_begins_later() -> None:
    """Which of the deleted records were appended since then nobody knows, and that is said, with the offsets."""
    assert (
        "partition 0 begins with offset 10, appended 2023-11-14 22:13:20.161+00:00: offsets 0 to 9 (10) are gone: "
        "Kafka has deleted them; which of them were appended since 2023-11-14 22:13:19.161+00:00 is not known"
    ) == words.begins_later(0, EDGES[0], AT_MS, AT_MS - 1000, UTC)
    assert words.begins_later(0, EDGES[0], None, AT_MS, UTC).startswith(
        "partition 0 is empty: offsets 0 to 9 (10) are gone: Kafka has deleted them; "
    )


def test_summary() -> None:
    """Each record is counted once, by what became of it."""
    totals = Totals(fetched=99, written=3, merged=2, unmapped=4, expired=1, set_aside=Counter(future=1, null_value=2))

    done, left_out = words.summary(totals, 2.0)
    assert done == (
        "replayed 13 records in 2.0 s (6 records/s): 3 rows written, 2 merged into a newer login of the same user and "
        "service"
    )
    assert left_out == (
        "left out: 2 null_value; 1 future; 4 unmapped: the table has no column for their service; 1 expired: older "
        "than ttl_s"
    )
    assert ["replayed 1 record in 0.0 s (1,000 records/s): 1 row written, 0 merged into "] == [
        line[:75] for line in words.summary(Totals(written=1), 0.0)
    ]


def test_what_is_done_and_what_is_left() -> None:
    """Both name offsets as --offsets takes them."""
    stretches = [Stretch(0, 10, 20), Stretch(1, 0, 5)]

    assert "replaying 15 records of events into t (partition:first-last): 0:10-19, 1:0-4" == words.announced(
        stretches, "events", "t"
    )
    assert ["--offsets", "0:10-19", "--offsets", "1:0-4"] == words.options(stretches)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("replay", "Give either --since or --offsets."),
        ("replay --since 1h --offsets 0:1-2", "Give either --since or --offsets."),
        ("replay --since yesterday", "must be like 90s, 30m, 2h or 7d"),
        ("replay --offsets 0:2-1", "ends before it begins: 1 is below 2"),
        (
            "skip --topic other --partition 0 --to 5",
            "--topic other: topics.events of this configuration is lastlogin.ev",
        ),
        ("skip --topic lastlogin.events --partition 0 --to 0", "0 is not in the range x>=1"),
    ],
)
def test_usage(arguments: str, said: str) -> None:
    """What can be told without Kafka is told at once, in words: exit code 2."""
    servers = {
        "LASTLOGIN_CONSUMER_KAFKA__BOOTSTRAP_SERVERS": "kafka.invalid:9092",
        "LASTLOGIN_CONSUMER_CASSANDRA__CONTACT_POINTS": "cassandra.invalid",
    }
    done = CliRunner().invoke(main, arguments, env=servers)

    assert (2, "") == (done.exit_code, done.stdout)
    assert said in done.stderr

"""How far behind a partition is, whatever is known of it and whatever the clocks say."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastlogin_consumer.lag import Backlog, Lag, lag


@pytest.mark.parametrize(
    ("watermark", "end", "appended_at", "behind_since", "expected"),
    [
        (5, 5, None, None, Lag(0, 0.0)),
        (0, 0, None, None, Lag(0, 0.0)),
        (5, 9, 40.0, None, Lag(4, 60.0)),
        (5, 9, None, 70.0, Lag(4, 30.0)),
        (5, 9, 40.0, 70.0, Lag(4, 60.0)),
        (5, 9, 3700.0, 70.0, Lag(4, 30.0)),
        (5, 9, 3700.0, None, Lag(4, 0.0)),
        (5, 9, None, None, Lag(4, 0.0)),
        (9, 5, 40.0, 40.0, Lag(0, 0.0)),
    ],
)
def test_lag(watermark: int, end: int, appended_at: float | None, behind_since: float | None, expected: Lag) -> None:
    """At 100 s: by append time, else since seen; Kafka's clock an hour ahead hides nothing; caught up is 0 and 0."""
    assert expected == lag(watermark, end, appended_at, behind_since, 100.0)


def test_unknown_until_kafka_has_told_both_ends() -> None:
    """Neither the offset to begin at nor the end alone is a lag."""
    backlog = Backlog()
    assert None is backlog.lag(100)
    backlog.ends_at(10, 100)
    assert None is backlog.lag(101)
    backlog.begin(4)
    assert Lag(6, 2.0) == backlog.lag(102)

    other = Backlog()
    other.begin(4)
    assert None is other.lag(100)
    other.ends_at(4, 100)
    assert Lag(0, 0.0) == other.lag(100)


def test_what_was_fetched_counts_before_the_end_is_known() -> None:
    """A Kafka that does not tell the end hides no records that are in our hands."""
    backlog = Backlog()
    backlog.begin(4)
    backlog.took(7, 90_000, 91_000, 100)

    assert Lag(3, 10.0) == backlog.lag(100)


def test_while_cassandra_is_away_both_numbers_grow() -> None:
    """The oldest record is in the window, the end moves on without fetches; all written is 0 again."""
    backlog = Backlog()
    backlog.begin(0)
    backlog.ends_at(0, 100)
    backlog.took(3, 100_500, 101_000, 101)
    assert Lag(3, 0.5) == backlog.lag(101)
    backlog.ends_at(50, 106)
    assert Lag(50, 59.5) == backlog.lag(160)

    backlog.done(3)
    backlog.took(50, 105_000, 160_000, 161)
    assert Lag(47, 60.0) == backlog.lag(165)
    backlog.done(50)
    assert Lag(0, 0.0) == backlog.lag(166)


def test_between_two_windows_of_a_backlog_its_age_does_not_vanish() -> None:
    """With more known to follow, the last record that is done stands for the next one, until that is fetched."""
    backlog = Backlog()
    backlog.begin(0)
    backlog.ends_at(1000, 10_000)
    backlog.took(500, 1_000_000, 2_000_000, 10_000)
    backlog.done(500)
    assert Lag(500, 8001.0) == backlog.lag(10_001)

    backlog.took(600, 2_500_000, 2_600_000, 10_002)
    assert Lag(500, 7502.0) == backlog.lag(10_002)


def test_a_quiet_partition_is_not_as_old_as_its_last_record() -> None:
    """Caught up, then one new record that is not fetched: behind since it was seen, not since the one of yesterday."""
    backlog = Backlog()
    backlog.begin(0)
    backlog.ends_at(1, 86_400)
    backlog.took(1, 1_000, 1_000, 86_400)
    backlog.done(1)
    backlog.ends_at(2, 86_500)

    assert Lag(1, 3.0) == backlog.lag(86_503)


def test_a_partition_that_cannot_be_read_is_behind_since_it_was_seen() -> None:
    """Nothing is fetched: the end moves on, and the time counts from when the first record was seen."""
    backlog = Backlog()
    backlog.begin(10)
    backlog.ends_at(30, 100)
    backlog.ends_at(40, 160)

    assert Lag(30, 100.0) == backlog.lag(200)


def test_lost_records_are_no_longer_behind() -> None:
    """What retention has deleted will never be written: the rest counts, by the clock of when it was seen."""
    backlog = Backlog()
    backlog.begin(10)
    backlog.ends_at(30, 100)
    backlog.done(25)
    assert Lag(5, 20.0) == backlog.lag(120)
    backlog.done(30)
    assert Lag(0, 0.0) == backlog.lag(120)


def test_behind_a_loss_nobody_is_as_old_as_the_record_before_it() -> None:
    """A window from last week is written, and behind it retention has deleted days: what follows is younger."""
    backlog = Backlog()
    backlog.begin(0)
    backlog.ends_at(1000, 600_000)
    backlog.took(10, 1_000_000, 2_000_000, 600_000)
    backlog.done(900)

    assert Lag(100, 5.0) == backlog.lag(600_005)


def test_a_loss_beyond_the_known_end_is_no_lag() -> None:
    """All that was known of is deleted, and more: nothing is behind until Kafka has told of newer records."""
    backlog = Backlog()
    backlog.begin(10)
    backlog.ends_at(30, 100)
    backlog.done(45)
    assert Lag(0, 0.0) == backlog.lag(400)
    backlog.ends_at(47, 405)
    assert Lag(2, 1.0) == backlog.lag(406)


def test_a_backlog_from_before_the_start() -> None:
    """Seconds count from the start until the first record is there, and then from when Kafka took that."""
    backlog = Backlog()
    backlog.begin(3)
    backlog.ends_at(53, 10_000)
    assert Lag(50, 2.0) == backlog.lag(10_002)
    backlog.took(4, 5_000_000, 5_000_000, 10_002)
    assert Lag(50, 5_010.0) == backlog.lag(10_010)


def test_in_an_outage_the_age_grows_though_nothing_is_new() -> None:
    """Kafka tells the same end again and again; the number stays and the age goes on."""
    backlog = Backlog()
    backlog.begin(0)
    backlog.ends_at(0, 100)
    backlog.took(2, 101_000, 101_500, 102)
    for now in (110, 500, 4_000):
        backlog.ends_at(2, now)
        assert Lag(2, now - 101.0) == backlog.lag(now)


def test_a_topic_made_anew_starts_over() -> None:
    """The watermark goes back to the new beginning, and the old end is forgotten with the next answer."""
    backlog = Backlog()
    backlog.begin(1000)
    backlog.ends_at(3, 100)
    assert Lag(0, 0.0) == backlog.lag(100)
    backlog.done(0)

    assert Lag(3, 5.0) == backlog.lag(105)


def test_an_end_that_is_older_than_the_last_fetch_takes_nothing_away() -> None:
    """Records fetched after Kafka was asked are there, whatever it said."""
    backlog = Backlog()
    backlog.begin(0)
    backlog.ends_at(1, 100)
    backlog.took(9, 99_000, 101_000, 101)
    backlog.ends_at(1, 101)

    assert Lag(9, 3.0) == backlog.lag(102)


moments = st.integers(0, 1_000)
steps = st.one_of(
    st.tuples(st.just("end"), st.integers(0, 50)),
    st.tuples(st.just("take"), st.integers(1, 20)),
    st.tuples(st.just("done"), st.just(0)),
)


@given(st.lists(st.tuples(steps, moments), max_size=30), st.integers(-500, 500))
def test_never_negative_and_zero_only_together(script: list[tuple[tuple[str, int], int]], skew: int) -> None:
    """Whatever comes in whatever order and by whichever clock, no number is negative, and none behind has no age."""
    backlog = Backlog()
    backlog.begin(0)
    position = 0
    for (step, number), now in script:
        if step == "end":
            backlog.ends_at(number, now)
        elif step == "take":
            position += number
            backlog.took(position, (now + skew) * 1000, (now + skew) * 1000, now)
        else:
            backlog.done(position)
        found = backlog.lag(now)
        assert found is None or (found.records >= 0 and found.seconds >= 0.0)
        assert found is None or found.records or found.seconds == 0.0

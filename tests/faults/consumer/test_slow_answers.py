"""Case 34: a coordinator that answers a third of the requests too late."""

import time
from collections.abc import Callable, Iterator
from random import Random

import pytest

from lastlogin_consumer.writer import MAX_IN_FLIGHT
from lastlogin_stack.layout import Layout
from tests.support.consumer import ConsumerProcess
from tests.support.login_stream import LoginStream
from tests.support.process import wait_until
from tests.support.scale import scale
from tests.support.slow_answers import SlowAnswers
from tests.support.topics import Topics


SECONDS = scale(120.0, 15.0)


@pytest.fixture
def answers(stack: Layout, rng: Random) -> Iterator[SlowAnswers]:
    """The way to Cassandra."""
    with SlowAnswers(stack.cassandra_port, rng, delay_s=1.5, counted_s=0.5) as answers:
        yield answers


@pytest.mark.timeout(scale(600, 180))
def test_three_of_ten_answers_come_too_late(
    topics: Topics,
    stream: LoginStream,
    answers: SlowAnswers,
    member: Callable[..., ConsumerProcess],
    figures: Callable[[str], None],
) -> None:
    """What is not acknowledged is written again, no more is in flight than allowed, and no offset goes ahead."""
    consumer = member(
        CASSANDRA__PORT=str(answers.port),
        CASSANDRA__PROTOCOL_VERSION="4",
        CASSANDRA__REQUEST_TIMEOUT_S="1",
    )
    # More batches than may be in flight, also when the late ones of them are all that is left.
    stream.burst(15_000)
    answers.share = 0.3
    with stream:
        consumer.start()
        consumer.wait_for("assigned")
        begun = time.monotonic()
        while time.monotonic() - begun < SECONDS:
            assert [] == stream.passed_unwritten(consumer.group)
            time.sleep(0.5)
    wait_until(lambda: topics.lag(consumer.group) == 0, 120)
    timed_out = consumer.scrape()["cassandra_write_seconds_count{outcome=timed_out}"]
    assert 0 == consumer.stop()
    found = stream.audit()
    figures(
        f"{answers.delayed} of {answers.batches} answers late, {timed_out:g} timed out, "
        f"at most {answers.most_in_flight} in flight; {found}"
    )

    assert [] == found.wrong
    assert timed_out > 0
    assert MAX_IN_FLIGHT / 2 < answers.most_in_flight <= MAX_IN_FLIGHT

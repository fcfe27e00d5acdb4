"""Cases 25, 28, 45 and 50: any order, any number of times, many users, and everything read again."""

import socket
from collections.abc import Callable
from random import Random

import pytest

from tests.support.consumer import ConsumerProcess
from tests.support.login_stream import Logins, LoginStream
from tests.support.own_table import digest
from tests.support.process import wait_until
from tests.support.scale import scale


EVENTS = scale(100_000, 20_000)
DEADLINE_S = scale(180.0, 60.0)


@pytest.mark.timeout(scale(900, 180))
def test_any_order_and_again(
    stream: LoginStream,
    rng: Random,
    member: Callable[..., ConsumerProcess],
    figures: Callable[[str], None],
) -> None:
    """100,000 logins (here 20,000), shuffled and a fifth of them twice, end in the newest of each user and service.

    A group of another name and one whose offsets are reset read everything again: not a cell of the table changes.
    The metrics' series are as many as before the first user, and served to this machine alone.
    """
    topics, table = stream.topics, stream.table
    logins = Logins(rng, new_share=0.4)
    events = [logins.next() for _ in range(EVENTS)]
    events += rng.choices(events, k=EVENTS // 5)
    rng.shuffle(events)
    consumer = member()
    consumer.start()
    consumer.wait_until(lambda: {f"lag_seconds{{partition={n}}}" for n in range(4)} <= consumer.scrape().keys())
    series = set(consumer.scrape())
    stream.publish(events)
    wait_until(lambda: topics.lag(consumer.group) == 0, DEADLINE_S)
    assert series == set(consumer.scrape())
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", consumer.said("metrics_listening")[-1]["port"]), 2)
    assert 0 == consumer.stop()
    first = stream.audit()
    content = digest(table.cells())
    figures(f"{first}, hash {content[:16]}")

    renamed = member(GROUP=f"{consumer.group}-renamed")
    renamed.start()
    wait_until(lambda: topics.lag(f"{consumer.group}-renamed") == 0, DEADLINE_S)
    assert 0 == renamed.stop()
    assert content == digest(table.cells())

    topics.reset(consumer.group)
    assert len(stream.records) == topics.lag(consumer.group)
    consumer.start()
    wait_until(lambda: topics.lag(consumer.group) == 0, DEADLINE_S)
    assert 0 == consumer.stop()
    assert content == digest(table.cells())

    assert [] == first.wrong
    assert first.repeated_letters == 0
    for said in (*consumer.said("stopped"), *renamed.said("stopped")):
        assert len(stream.records) == said["fetched"] == said["written"] + said["merged"] + said["set_aside"]
    assert 2 * first.letters == stream.audit().repeated_letters

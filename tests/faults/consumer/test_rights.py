"""Case 36: the right to write is taken from the consumer's role while it writes."""

import time
from collections.abc import Callable, Iterator

import pytest

from lastlogin_stack.layout import Layout
from tests.support.consumer import ConsumerProcess, with_constants
from tests.support.login_stream import LoginStream
from tests.support.own_table import OwnTable
from tests.support.process import wait_until
from tests.support.secured_cassandra import ROLE, SecuredCassandra, secured_cassandra
from tests.support.topics import Topics


REFUSED_S = 5.0
# After so long without any answer there would be a new session: refusals are answers.
SILENCE_S = 3
# Cassandra keeps for 2 s what a role may do (permissions_validity).
NOTICED_S = 15.0
BACK_S = 30.0
# Five seconds of the stream.
BEHIND = 2_000
WRITES = "cassandra_write_seconds_count{{outcome={}}}".format


@pytest.fixture
def secured(stack: Layout) -> Iterator[SecuredCassandra]:
    """A Cassandra with roles."""
    with secured_cassandra(stack) as secured:
        secured.grant()
        yield secured


@pytest.fixture
def table(secured: SecuredCassandra) -> OwnTable:
    """Its table."""
    return secured.table


def test_the_right_is_revoked_and_granted_again(
    topics: Topics,
    secured: SecuredCassandra,
    stream: LoginStream,
    member: Callable[..., ConsumerProcess],
    figures: Callable[[str], None],
) -> None:
    """While the role may not write nothing is committed or set aside, and log, health and metrics tell it.

    With the right it goes on by itself, and writes everything.
    """
    consumer = member(**secured.settings, CASSANDRA__REQUEST_TIMEOUT_S="1")
    with_constants(consumer, {"lastlogin_consumer.writer:SILENCE_S": SILENCE_S}).start()
    # What cannot be used is set aside whether or not the table can be written: here nothing may be.
    stream.bad_share = 0.0
    with stream:
        consumer.wait_until(lambda: consumer.scrape().get("rows_written_total", 0) > 500)
        secured.revoke()
        revoked = time.monotonic()
        [said] = consumer.wait_for("cassandra_failing", deadline_s=NOTICED_S)
        noticed_s = time.monotonic() - revoked
        # By now all that was written before is committed, too.
        wait_until(lambda: topics.lag(consumer.group) > BEHIND)
        committed, at_first = topics.committed(consumer.group), consumer.scrape()
        time.sleep(REFUSED_S)
        reasons, later = consumer.reasons(), consumer.scrape()
        assert committed == topics.committed(consumer.group)
        secured.grant()
        granted = time.monotonic()
        consumer.wait_for("cassandra_back", deadline_s=BACK_S)
        back_s = time.monotonic() - granted
    wait_until(lambda: topics.lag(consumer.group) == 0, 60)
    assert [] == consumer.reasons()
    assert 0 == consumer.stop()
    found = stream.audit()
    figures(
        f"noticed within {noticed_s:.1f} s, {later[WRITES('refused')] - at_first[WRITES('refused')]:g} refusals in "
        f"{REFUSED_S:g} s, back within {back_s:.1f} s; {found}"
    )

    assert f"GRANT MODIFY ON TABLE statsdb.{secured.table.name} TO {ROLE}" == said["why"].partition("in cqlsh: ")[2]
    assert any("GRANT MODIFY" in reason for reason in reasons)
    assert at_first[WRITES("acknowledged")] == later[WRITES("acknowledged")]
    assert at_first[WRITES("refused")] < later[WRITES("refused")]
    assert 1 == len(consumer.said("assigned"))
    assert [] == consumer.said("session_replaced")
    assert [] == topics.letters()
    assert [] == found.wrong

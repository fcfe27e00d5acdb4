"""Case 39: most messages are bad."""

import time
from collections.abc import Callable

import pytest

from tests.support.consumer import ConsumerProcess, with_constants
from tests.support.login_stream import LoginStream
from tests.support.own_table import Cells
from tests.support.process import wait_until
from tests.support.scale import scale


REST_S = scale(300, 8)


@pytest.mark.timeout(scale(1_800, 180))
def test_most_messages_are_bad(
    stream: LoginStream, member: Callable[..., ConsumerProcess], figures: Callable[[str], None]
) -> None:
    """With 60 % bad the breaker opens for 5 minutes (here 8 s): what is sound beside it is written, nothing set aside.

    It says so, and is not ready. In the end each bad record is set aside once, and each sound one is written.
    """
    topics = stream.topics
    stream.bad_share = 0.6
    stream.burst(1_000)
    first = stream.expected()
    consumer = with_constants(member(), {"lastlogin_consumer.breaker:_REST_S": REST_S})
    consumer.start()
    consumer.wait_for("breaker_open")
    opened = time.monotonic()
    wait_until(lambda: consumer.scrape()["breaker_open"] == 1)
    set_aside = len(topics.letters())
    stream.burst(1_000)
    wait_until(lambda: _at_least(stream.table.cells(), first), REST_S)
    wait_until(lambda: time.monotonic() - opened > REST_S / 2, REST_S)
    samples, reasons = consumer.scrape(), consumer.reasons()
    assert set_aside == len(topics.letters())
    wait_until(lambda: topics.lag(consumer.group) == 0, 4 * REST_S + 60)
    recovered_s = time.monotonic() - opened
    assert 0 == consumer.stop()
    found = stream.audit()
    figures(f"{set_aside} set aside before it opened, all done after {recovered_s:.1f} s; {found}")

    assert [] == found.wrong
    assert 0 == found.repeated_letters
    assert set_aside < 0.6 * 1_000
    assert (1, 0) == (samples["breaker_open"], samples["ready"])
    assert "Most records are bad; none is set aside for a while" in reasons


def _at_least(found: Cells, expected: Cells) -> bool:
    """Whether each login is there, or a newer one."""
    return all(key in found and found[key] >= cell for key, cell in expected.items())

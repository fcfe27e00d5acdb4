"""The outbox's end of the connection: what it says of messages that it cannot keep."""

from types import SimpleNamespace
from typing import Any, cast

from structlog.testing import capture_logs

from lastlogin_producer.outbox import frames
from lastlogin_producer.outbox.port import Port
from lastlogin_producer.outcome import Outcome
from tests.support.logins import LOGIN


def test_messages_that_do_not_fit_their_schema() -> None:
    """Each is refused, and told once in a minute, for all of a kind have the same cause; no user is named."""
    sent: list[bytes] = []
    port = Port()
    port.connection_made(cast("Any", SimpleNamespace(write=sent.append)))
    with capture_logs() as said:
        # Numbered already, as only the spool may do it.
        for batch in (1, 2):
            port.data_received(frames.messages(batch, [LOGIN, LOGIN]))

    assert [frames.outcomes(batch, [Outcome.FULL, Outcome.FULL]) for batch in (1, 2)] == sent
    assert [("message_refused", 0)] == [(line["action"], line["suppressed"]) for line in said]
    assert LOGIN.user not in str(said)

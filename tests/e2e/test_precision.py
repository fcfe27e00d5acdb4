"""Dovecot's last_login_precision: the time that it writes, to the second or finer, is the one in the row."""

import pytest

from lastlogin_stack.clients import imap_login, lmtp_deliver, pop3_login
from lastlogin_stack.dovecot import DovecotOptions, MailUser
from lastlogin_stack.layout import Layout
from lastlogin_stack.readback import StatsTable
from tests.support.uses import Use, follow


_UNITS_US = {"s": 1_000_000, "ms": 1_000, "us": 1, "ns": 1}


@pytest.fixture(params=_UNITS_US)
def precision(request: pytest.FixtureRequest) -> str:
    """What Dovecot is set to."""
    return str(request.param)


@pytest.fixture
def dovecot_options(precision: str) -> DovecotOptions:
    """One user for each: a time in whole seconds would lose against a finer one of the same second."""
    return DovecotOptions(
        users=(MailUser(f"precision-{precision}"),), key="last-login/%s/%u/%r", precision=precision, webmail_key=None
    )


def test_a_login_to_the_second_or_finer(precision: str, pipeline: Layout, table: StatsTable) -> None:
    """Time, WRITETIME and address in the row are the login's, in microseconds as far as Dovecot tells them."""
    user, address = f"precision-{precision}", "127.0.0.21"
    acts = {
        "imap": lambda: imap_login(pipeline, user, address),
        "pop3": lambda: pop3_login(pipeline, user, address),
        "lmtp": lambda: lmtp_deliver(pipeline, "sender@example.org", user, source=address),
    }
    uses = [Use(user, service, act, f"last-login/{service}/{user}/{address}", address) for service, act in acts.items()]

    events = follow(pipeline, table, uses, precision_us=_UNITS_US[precision])

    finer = any(event.login_at_us % 1_000 for event in events)
    assert (precision in {"us", "ns"}) is finer

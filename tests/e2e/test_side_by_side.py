"""One delivery to several mailboxes, and several services on one; with keys of users' own and without."""

from lastlogin_stack.clients import imap_login, lmtp_deliver, pop3_login
from lastlogin_stack.layout import Layout
from lastlogin_stack.readback import StatsTable
from tests.support.uses import Use, follow


CLIENT = "127.0.0.21"


def test_one_delivery_to_several_recipients(pipeline: Layout, table: StatsTable) -> None:
    """Each recipient has an event and a row of its own; only those whose own key asks for it have the address."""
    recipients = ["test3", "test4", "test5", "test9"]
    deliver = Use(
        "test3",
        "lmtp",
        lambda: lmtp_deliver(pipeline, "test1", *recipients, source=CLIENT),
        "last-login/lmtp/test3",
    )
    to_others = [
        Use("test4", "lmtp", None, f"last-login/lmtp/test4/{CLIENT}", CLIENT),
        Use("test5", "lmtp", None, f"last-login/lmtp/test5/{CLIENT}", CLIENT),
        Use("test9", "lmtp", None, "last-login/lmtp/test9"),
    ]

    follow(pipeline, table, [deliver, *to_others], bystanders=["test1", "test2", "test6"])


def test_one_mailbox_by_imap_and_pop3_at_once(pipeline: Layout, table: StatsTable) -> None:
    """The one row has time and address of both."""
    by_imap = Use(
        "test6", "imap", lambda: imap_login(pipeline, "test6", CLIENT), f"last-login/imap/test6/{CLIENT}", CLIENT
    )
    by_pop3 = Use(
        "test6", "pop3", lambda: pop3_login(pipeline, "test6", CLIENT), f"last-login/pop3/test6/{CLIENT}", CLIENT
    )

    follow(pipeline, table, [by_imap, by_pop3], at_once=True)

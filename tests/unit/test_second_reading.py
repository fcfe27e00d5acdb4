"""Which refusals make a window be read again."""

from lastlogin_consumer.decode import Login, Poison
from lastlogin_consumer.second_reading import SecondReading
from lastlogin_consumer.writer import Refused
from tests.support.logins import AT_US, event_record, login


OLD, NEW = (Login("a", "imap", AT_US + seconds, b"", True, seconds) for seconds in (0, 5))


def _refused(login: Login) -> list[Refused]:
    return [Refused(login, "denied")]


def test_what_a_refused_login_had_hidden_is_not_read_for_again() -> None:
    """It is older: else each login of a denied user would take another reading."""
    again = SecondReading()

    assert again.needed_for(_refused(NEW), 6)
    assert not again.needed_for(_refused(OLD), 6)
    assert not again.needed_for(_refused(NEW), 6)


def test_a_newer_login_than_the_one_that_was_refused_is_read_for_again() -> None:
    """As when a window that was tried once more is now written in parts: it must not pass as merged."""
    again = SecondReading()
    again.needed_for(_refused(NEW), 6)
    assert again.once_more()

    assert again.needed_for(_refused(OLD), 3)
    assert again.needed_for(_refused(NEW), 6)
    record = event_record(login("a"))
    assert Poison(record, "refused", "denied") == again.judge(NEW, record)

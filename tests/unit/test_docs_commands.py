"""No command of the documentation stays untried by accident."""

from lastlogin_stack.layout import PROJECT_ROOT
from tests.support.docs import BY_TESTS_OF_THEIR_OWN, ON_THE_PIPELINE, pages_with_commands


def test_every_page_is_somebodys() -> None:
    """Each page with `sh` blocks is run by one test, and each that is said to be run has such blocks."""
    assert pages_with_commands() == sorted([*ON_THE_PIPELINE, *BY_TESTS_OF_THEIR_OWN])


def test_tests_of_their_own_exist() -> None:
    """Where another test runs a page, there is that test, and it names the page."""
    unnamed = [
        page
        for page, test in BY_TESTS_OF_THEIR_OWN.items()
        if page not in (PROJECT_ROOT / test).read_text(encoding="utf-8")
    ]

    assert [] == unnamed

"""Generated pages are those that the code of today generates."""

from lastlogin_docs.pages import DOCS, PAGES


def test_generated_pages_are_current() -> None:
    """Every generated page says what `make docs` would write now."""
    outdated = [name for name, text in PAGES.items() if (DOCS / name).read_text(encoding="utf-8") != text()]

    assert [] == outdated

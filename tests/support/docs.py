"""The shell commands of `docs/*.md`: blocks marked `sh` are run by tests, all others are not."""

import re

from lastlogin_docs.pages import DOCS


# Pages whose commands `tests/e2e/test_docs_commands.py` runs, all of a page in one shell, against the whole pipeline.
ON_THE_PIPELINE = ("backend.md", "configuration.md", "moving.md", "operations.md", "protocol.md")

# Pages whose commands need something else: the test that runs them. It must name the page.
BY_TESTS_OF_THEIR_OWN: dict[str, str] = {}


def commands(page: str) -> list[str]:
    """The `sh` blocks of a page, in order."""
    return re.findall(r"^```sh\n(.*?)^```$", (DOCS / page).read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def pages_with_commands() -> list[str]:
    """Every page that has such a block."""
    return sorted(path.name for path in DOCS.glob("*.md") if commands(path.name))

"""Which files are generated, and from what."""

from collections.abc import Callable, Mapping
from pathlib import Path

from lastlogin_docs import configuration, metrics


DOCS = Path(__file__).resolve().parents[1]

# By the file's name below `docs/`: what gives its text.
PAGES: Mapping[str, Callable[[], str]] = {
    "configuration.md": configuration.page,
    "metrics.md": metrics.page,
}

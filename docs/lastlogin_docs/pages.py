"""Which files are generated, and from what."""

from collections.abc import Callable, Mapping
from pathlib import Path

from lastlogin_docs import configuration, metrics
from lastlogin_docs.alerts import alerts_page
from lastlogin_docs.asyncapi import asyncapi_page
from lastlogin_docs.events import events_page


DOCS = Path(__file__).resolve().parents[1]

# By the file's name below `docs/`: what gives its text.
PAGES: Mapping[str, Callable[[], str]] = {
    "alerts.md": alerts_page,
    "asyncapi.yaml": asyncapi_page,
    "configuration.md": configuration.page,
    "events.md": events_page,
    "metrics.md": metrics.page,
}

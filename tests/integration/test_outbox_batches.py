"""What the serving process sends to the outbox at once."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from lastlogin_producer.outbox import Outbox
from lastlogin_producer.outcome import Outcome
from lastlogin_schemas.event import RawWrite
from tests.support.outbox import start
from tests.support.publisher import eventually
from tests.support.spool import unnumbered


@pytest.fixture
async def outbox(tmp_path: Path) -> AsyncIterator[Outbox]:
    """An outbox that stores."""
    outbox = start(tmp_path / "spool", max_rows=100_000)
    await outbox.open()
    yield outbox
    await outbox.close()


async def test_what_cannot_be_packed(outbox: Outbox) -> None:
    """A message that no process can be told of is refused with those beside it; later ones are stored."""

    class Name(str):
        __slots__ = ()

    outcomes: list[Outcome] = []
    with capture_logs() as said:
        for user in (Name("a"), Name("a"), "b"):
            before = len(outcomes)
            outbox.append(unnumbered(user), outcomes.append)
            await eventually(lambda before=before: len(outcomes) > before)  # type: ignore[misc]

    assert [Outcome.FULL, Outcome.FULL, Outcome.STORED] == outcomes
    # Told once in a minute.
    assert [("message_refused", 0)] == [(line["action"], line["suppressed"]) for line in said]


async def test_large_messages_at_once(outbox: Outbox) -> None:
    """Of 120 MB in one moment as much is stored as may wait, 64 MiB and a batch; the rest is refused at once."""
    large = RawWrite(b"u", "bad_key", entries=((b"shared/x", b"v" * 60_000),))
    outcomes: list[Outcome] = []
    for _ in range(2_000):
        outbox.append(large, outcomes.append)
    await eventually(lambda: len(outcomes) == 2_000)

    assert 1_000 < outcomes.count(Outcome.STORED) < 1_500
    assert {Outcome.STORED, Outcome.FULL} == set(outcomes)

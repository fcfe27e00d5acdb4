"""What the log says when Kafka goes away and comes back."""

import asyncio

from structlog.testing import capture_logs

from lastlogin_consumer.outage import Outage


async def _turns(count: int = 100) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_an_outage_is_said_once_and_so_is_its_end() -> None:
    """One line with the reason when Kafka no longer answers, however long that lasts, one when it does; else none."""
    away = False
    watching = asyncio.create_task(Outage(lambda: away, lambda: "no route", look_every_s=0).run())
    with capture_logs() as said:
        await _turns()
        assert [] == said
        for _ in range(2):
            away = True
            await _turns()
            away = False
            await _turns()
    watching.cancel()

    assert 2 * [("kafka_away", "error", "no route"), ("kafka_back", "info", None)] == [
        (line["action"], line["log_level"], line.get("why")) for line in said
    ]

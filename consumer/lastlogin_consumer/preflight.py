"""What `lastlogin-consumer --check-config` looks at."""

import asyncio
from functools import partial
from threading import Thread

from lastlogin_consumer.settings import ConsumerSettings
from lastlogin_consumer.table import explain, is_wrong, open_table
from lastlogin_schemas.columns import lost_columns
from lastlogin_schemas.table import TableMapping
from lastlogin_service.cassandra import CassandraSettings
from lastlogin_service.exits import CONFIG, Exit
from lastlogin_service.listening import check_bindable
from lastlogin_service.preflight import DEADLINE_S, Finding, finding, findings
from lastlogin_service.topics import check_topics


_UNMAPPED = {"skip": "skipped", "dead_letter": "set aside as dead letters"}


async def check(settings: ConsumerSettings, name: str) -> list[Finding]:
    """Find what would keep a consumer from starting here, or from writing."""
    topics = {"events": settings.topics.events, "dead_letters": settings.topics.dead_letters}
    return await findings(
        partial(asyncio.to_thread, check_bindable, settings.metrics, name),
        partial(check_topics, settings.kafka, topics),
        partial(asyncio.to_thread, _look_at_table, settings.cassandra, settings.table, _UNMAPPED[settings.unmapped]),
    )


def _look_at_table(settings: CassandraSettings, wanted: TableMapping, unmapped: str) -> list[Finding]:
    """Open the table as the writer does, within the deadline. Blocks."""
    nodes = f"{', '.join(settings.contact_points)} port {settings.port}"
    found: list[Finding] = []

    def attempt() -> None:
        try:
            table = open_table(settings, wanted)
        except Exception as error:  # noqa: BLE001 - told to whoever waits
            found.append(_finding(error, nodes))
            return
        if lacking := lost_columns(wanted, table.mapping):
            skipped = [service for service in wanted.services if service not in table.mapping.services]
            found.append(
                Finding(
                    f"the table {settings.keyspace}.{settings.table} lacks columns, which are not written: "
                    f"{', '.join(lacking)}; "
                    + (f"logins of {', '.join(skipped)} are {unmapped}, " if skipped else "")
                    + "add what is wanted with `lastlogin schema apply`"
                )
            )
        table.close()

    # The driver bounds each step, not their sum.
    thread = Thread(target=attempt, daemon=True)
    thread.start()
    thread.join(DEADLINE_S)
    if thread.is_alive():
        return [Finding(f"Cassandra did not answer within {DEADLINE_S:g} s ({nodes})")]
    return found


def _finding(error: Exception, nodes: str) -> Finding:
    if isinstance(error, Exit):
        return finding(error)
    return Finding(explain(error), CONFIG) if is_wrong(error) else Finding(f"{explain(error)} ({nodes})")

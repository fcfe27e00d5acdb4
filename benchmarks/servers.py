"""Kafka and one Cassandra node, as users run them: the whole compiler, the collector and the commit log by default."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from lastlogin_stack.cassandra import PERIODIC, Cassandra
from lastlogin_stack.jars import CASSANDRA_JARS, KAFKA_JARS, ensure
from lastlogin_stack.kafka import Kafka
from lastlogin_stack.layout import Layout
from lastlogin_stack.readback import StatsTable
from lastlogin_stack.server import Jvm


_PORT = 22_900
KAFKA_JVM = Jvm(heap="512m", flags=())
_CASSANDRA_JVM = Jvm(heap="1g", flags=())


@contextmanager
def servers(directory: Path) -> Iterator[Layout]:
    """Both, with the table, until the end of the block; their data are in `directory`."""
    ensure(KAFKA_JARS, click.echo)
    ensure(CASSANDRA_JARS, click.echo)
    layout = Layout(directory / "stack", _PORT)
    kafka, cassandra = Kafka(layout, KAFKA_JVM), Cassandra(layout, _CASSANDRA_JVM, commit_log=PERIODIC)
    kafka.start()
    cassandra.start()
    try:
        kafka.wait_ready()
        cassandra.wait_ready()
        with StatsTable(layout) as table:
            table.create()
        yield layout
    finally:
        kafka.stop()
        cassandra.stop()

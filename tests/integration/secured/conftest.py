"""A Kafka and a Cassandra that ask who is there: TLS, logins, rights. Each user has the rights that a test gives it."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from lastlogin_stack.layout import Layout
from tests.support.secured_cassandra import SecuredCassandra, secured_cassandra
from tests.support.secured_kafka import Right, SecuredKafka


@pytest.fixture(scope="session")
def cassandra_with_rights(layout: Layout) -> Iterator[SecuredCassandra]:
    """The node of all tests here."""
    with secured_cassandra(layout) as cassandra:
        yield cassandra


@dataclass(frozen=True, slots=True)
class Secured:
    """Both, with the topics and the table as they are named unless told otherwise."""

    kafka: SecuredKafka
    cassandra: SecuredCassandra

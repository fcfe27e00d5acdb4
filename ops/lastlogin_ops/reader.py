"""Rows from Cassandra."""

import threading
from collections.abc import Callable
from random import sample
from typing import Any, TypeVar

from cassandra import (
    DriverException,
    InvalidRequest,
    Unauthorized,
    UnresolvableContactPoints,
)
from cassandra.cluster import NoHostAvailable, Session

from lastlogin_ops.lookup import Lookup, lookup_of, one_row, shown
from lastlogin_schemas.columns import usable_part
from lastlogin_schemas.errors import TableNotReady
from lastlogin_schemas.table import TableMapping, select_cql
from lastlogin_service.cassandra import CassandraSettings, build_cluster, columns_of, connect, misfit
from lastlogin_service.exits import CONFIG, DATA, UNAVAILABLE, Exit


T = TypeVar("T")

# Somebody is on the telephone. The driver tries contact points one after the other: few enough of them, each
# for short enough, fit into the deadline.
_DEADLINE_S = 10.0
_CONTACT_POINTS = 4
_CONNECT_TIMEOUT_S = 2.0

# What the driver's errors contain, and what it means for people.
_CAUSES = (
    ("Bad credentials", CONFIG, "Cassandra refuses cassandra.username and its password"),
    ("requires authentication", CONFIG, "Cassandra wants a login, set cassandra.username and password_file"),
    ("Unavailable exception", UNAVAILABLE, "too few of Cassandra's nodes are up for cassandra.consistency"),
)


def find(
    settings: CassandraSettings, wanted: TableMapping, user: str, first: Callable[[], T]
) -> tuple[T, Lookup | None]:
    """Look a user up; None when there is no row. Raises `Exit`: what Cassandra says, in words.

    What `first` gives is asked for when all else is ready: the row is read after it.
    """

    def read(session: Session) -> tuple[T, Lookup | None]:
        mapping = _mapping(session, wanted)
        select = session.prepare(select_cql(mapping))
        before = first()
        row = one_row(mapping, [tuple(row) for row in session.execute(select, (user,)).all()])
        return before, lookup_of(user, mapping, row) if row is not None else None

    return ask(settings, read)


def mapping(settings: CassandraSettings, wanted: TableMapping) -> TableMapping:
    """Which of the wanted columns the table has. Raises as `find`."""
    return ask(settings, lambda session: _mapping(session, wanted))


def _mapping(session: Session, wanted: TableMapping) -> TableMapping:
    columns = columns_of(session, wanted)
    return usable_part(shown(wanted, columns), columns)


def ask(settings: CassandraSettings, question: Callable[[Session], T], deadline_s: float = _DEADLINE_S) -> T:
    """Connect and ask, within the deadline. Raises `Exit`: what Cassandra says, in words."""
    points = settings.contact_points
    hurried = settings.model_copy(
        update={
            "contact_points": sample(points, min(len(points), _CONTACT_POINTS)),
            "request_timeout_s": min(settings.request_timeout_s, deadline_s / 2),
        }
    )
    answer: list[T] = []
    failure: list[Exception] = []

    def ask() -> None:
        try:
            cluster = build_cluster(hurried)
            cluster.connect_timeout = cluster.control_connection_timeout = _CONNECT_TIMEOUT_S
            try:
                answer.append(question(connect(cluster, hurried.local_dc)))
            finally:
                cluster.shutdown()
        except Exception as error:  # noqa: BLE001 - raised again in the thread that waits
            failure.append(error)

    # The driver bounds each step, not their sum.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(deadline_s)
    if answer:
        return answer[0]
    raise failure_in_words(failure[0] if failure else TimeoutError(f"{deadline_s:g}"), settings)


def failure_in_words(error: Exception, settings: CassandraSettings) -> Exception:
    """Turn what the driver raised into `Exit`; anything else is given back as it is."""
    nodes = f"{', '.join(settings.contact_points)} port {settings.port}"
    code = UNAVAILABLE
    match error:
        case TableNotReady():
            return Exit(CONFIG, str(error))
        case TimeoutError():
            message = f"Cassandra did not answer within {error} s ({nodes})"
        case UnresolvableContactPoints():
            message = f"no name in cassandra.contact_points resolves ({nodes})"
        case NoHostAvailable():
            code, message = _unreachable(error.errors)
            message += f" ({nodes})"
        case Unauthorized():
            code, message = CONFIG, f"the user in [cassandra] lacks a right: {error}"
        case InvalidRequest():
            code, message = CONFIG, f"Cassandra refuses the query: {error}"
        case DriverException() if "Failed decoding" in str(error):
            code, message = DATA, f"the row holds what is no time; look at it in cqlsh: {error}"
        case DriverException():
            message = f"Cassandra could not answer ({nodes}): {error}"
        case _:
            return error
    return Exit(code, " ".join(message.split()))


def _unreachable(errors: Any) -> tuple[int, str]:
    # A plain list of addresses when no node was even tried.
    causes = "; ".join(sorted({str(cause) for cause in errors.values()})) if isinstance(errors, dict) else ""
    for sign, code, what in _CAUSES:
        if sign in causes:
            return code, f"{what}: {causes}"
    if (wrong := misfit(causes)) is not None:
        return CONFIG, f"{wrong}: {causes}"
    return UNAVAILABLE, f"Cassandra does not answer: {causes or 'no node is up'}"

"""What people are told when Cassandra does not take rows."""

from cassandra import InvalidRequest, Unauthorized
from cassandra.cluster import NoHostAvailable

from lastlogin_consumer.batch_request import StatementsForgotten
from lastlogin_consumer.table import explain, is_wrong
from lastlogin_schemas.errors import TableNotReady


NO_RIGHT = Unauthorized(
    'Error from server: code=2100 [Unauthorized] message="User Mail has no MODIFY permission on '
    '<table statsdb.dovecot_stats> or any of its parents"'
)


def test_a_right_that_is_missing() -> None:
    """The CQL that grants it is told, also when a node said so at the connection; it takes a person."""
    grant = 'in cqlsh: GRANT MODIFY ON TABLE statsdb.dovecot_stats TO "Mail"'

    for error in (NO_RIGHT, NoHostAvailable("none", {"192.0.2.1": NO_RIGHT})):
        assert explain(error).endswith(grant)
        assert is_wrong(error)


def test_other_refusals() -> None:
    """They name the command that tells more, or are a sentence already; without a right there is nothing to grant."""
    forgotten = StatementsForgotten("statements must be prepared again")
    assert explain(forgotten).startswith("the table is not as it was at the start, see `lastlogin schema plan`: ")
    assert "Cassandra refuses: " + "x" * 200 == explain(InvalidRequest("x" * 300))
    assert "there is no table" == explain(TableNotReady("there is no table"))
    assert "missing rights: no" == explain(Unauthorized("no"))
    assert "ValueError" == explain(ValueError("x"))

"""What became of a write request, of few words; `table.explain` says it to people."""

import re
from enum import Enum, auto

import cassandra
from cassandra.cluster import NoHostAvailable
from cassandra.protocol import ErrorMessage, IsBootstrappingErrorMessage, OverloadedErrorMessage, ServerError

from lastlogin_consumer.batch_request import StatementsForgotten
from lastlogin_consumer.metrics import Outcome


# Both mean that the row may have been written all the same.
_TIMED_OUT = (cassandra.Timeout, cassandra.OperationTimedOut)
_REFUSED = (cassandra.RequestExecutionException, cassandra.RequestValidationException, ErrorMessage)

# Refusals that say nothing about the rows: too few nodes, too busy, no right, statements to be prepared again.
_NOT_THE_ROWS = (
    *_TIMED_OUT,
    cassandra.Unavailable,
    cassandra.Unauthorized,
    OverloadedErrorMessage,
    IsBootstrappingErrorMessage,
    StatementsForgotten,
)


# Refusals that are about a row: its partition is denied (StorageProxy), a value is too large or its time out of bounds
# (guardrails of Cassandra 5.0). Whatever else is refused may be for a full disk or a level that is not allowed.
_OF_A_ROW = re.compile(r"denylisted partition|Guardrail \w*(?:value_size|_timestamp) violated|Key length of \d+")


class Blame(Enum):
    """What a failed batch is to be blamed on."""

    # In Cassandra's own words one of them.
    ROWS = auto()
    # One of the rows, or a replica, its disk, a setting.
    UNKNOWN = auto()
    CLUSTER = auto()


def outcome_of(error: BaseException | None) -> Outcome:
    """Outcome of a request that ended with `error`, None when it was acknowledged."""
    if error is None:
        return "acknowledged"
    if isinstance(error, _TIMED_OUT):
        return "timed_out"
    return "refused" if is_answer(error) else "failed"


def is_answer(error: BaseException | None) -> bool:
    """Whether a node has answered, be it with a refusal: the session is alive."""
    if isinstance(error, NoHostAvailable) and isinstance(error.errors, dict):
        # What each node has said, when the driver has asked them in turn.
        return any(isinstance(each, _REFUSED) for each in error.errors.values())
    return error is None or isinstance(error, _REFUSED)


def blame(error: BaseException) -> Blame:
    """Tell whether a failed batch is worth trying in halves, and whether a row that fails alone is the reason."""
    if isinstance(error, NoHostAvailable) and isinstance(error.errors, dict):
        # The driver asks the next node after a server's error, and this is what comes of it when all make one.
        errors = error.errors.values()
        of_servers = errors and all(isinstance(each, ServerError) for each in errors)
        return Blame.UNKNOWN if of_servers else Blame.CLUSTER
    if not isinstance(error, _REFUSED) or isinstance(error, _NOT_THE_ROWS):
        return Blame.CLUSTER
    invalid = isinstance(error, cassandra.InvalidRequest)
    return Blame.ROWS if invalid and _OF_A_ROW.search(str(error)) else Blame.UNKNOWN

"""What became of a write request, of few words; `table.explain` says it to people."""

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


class Blame(Enum):
    """What a failed batch is to be blamed on."""

    # The coordinator looks at requests before it passes them on, and did not take one of these rows.
    ROWS = auto()
    # A replica failed: because of a row, or of its disk.
    UNKNOWN = auto()
    CLUSTER = auto()


def outcome_of(error: BaseException | None) -> Outcome:
    """Outcome of a request that ended with `error`, None when it was acknowledged."""
    if error is None:
        return "acknowledged"
    if isinstance(error, _TIMED_OUT):
        return "timed_out"
    return "refused" if isinstance(error, _REFUSED) else "failed"


def blame(error: BaseException) -> Blame:
    """Tell whether a failed batch is worth trying in halves, and whether a row that fails alone is the reason."""
    if isinstance(error, NoHostAvailable) and isinstance(error.errors, dict):
        # The driver asks the next node after a server's error, and this is what comes of it when all make one.
        errors = error.errors.values()
        of_servers = errors and all(isinstance(each, ServerError) for each in errors)
        return Blame.UNKNOWN if of_servers else Blame.CLUSTER
    if not isinstance(error, _REFUSED) or isinstance(error, _NOT_THE_ROWS):
        return Blame.CLUSTER
    return Blame.ROWS if isinstance(error, cassandra.InvalidRequest) else Blame.UNKNOWN

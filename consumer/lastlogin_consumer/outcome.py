"""What became of a write request, of few words, for the metrics; `table.explain` says it to people."""

import cassandra
from cassandra.protocol import ErrorMessage

from lastlogin_consumer.metrics import Outcome


# Both mean that the row may have been written all the same.
_TIMED_OUT = (cassandra.Timeout, cassandra.OperationTimedOut)
_REFUSED = (cassandra.RequestExecutionException, cassandra.RequestValidationException, ErrorMessage)


def outcome_of(error: BaseException | None) -> Outcome:
    """Outcome of a request that ended with `error`, None when it was acknowledged."""
    if error is None:
        return "acknowledged"
    if isinstance(error, _TIMED_OUT):
        return "timed_out"
    return "refused" if isinstance(error, _REFUSED) else "failed"

"""The log of refused logins: when refusing begins and when it has ended, not each of them."""

from time import monotonic

import structlog

from lastlogin_producer.spool.file import SpoolFile


# Without a refusal for so long, refusing has ended.
_REFUSING_S = 10.0

_log = structlog.get_logger(__name__)


class Refusing:
    """Whether logins of the spool's `file` are being refused, as the log has it."""

    def __init__(self, file: SpoolFile) -> None:
        self._file = file
        self._refusing = False
        self._refused_at = 0.0

    def tell(self, reason: str) -> None:
        """Some were refused."""
        self._refused_at = monotonic()
        if not self._refusing:
            self._refusing = True
            _log.error(
                f"Refusing logins: {reason}",
                action="spool_full",
                rows=self._file.rows_waiting,
                bytes=self._file.bytes_waiting,
            )

    def tell_storing(self) -> None:
        """Some were stored. That is logged only after a while, for at the bound the two alternate with each group."""
        if self._refusing and monotonic() - self._refused_at > _REFUSING_S:
            self._refusing = False
            _log.info(
                "Storing logins again",
                action="spool_accepts",
                rows=self._file.rows_waiting,
                bytes=self._file.bytes_waiting,
            )

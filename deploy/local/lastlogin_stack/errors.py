"""What goes wrong on a developer's machine, in one sentence for the person at the terminal."""

UNAVAILABLE = 69
CONFIG = 78


class StackError(Exception):
    """A server or a tool is not there; the text says which one, where, and what to do.

    `code` is the exit code of the command line, after sysexits: 69 unavailable, 78 wrong setting.
    """

    def __init__(self, message: str, *, code: int = UNAVAILABLE) -> None:
        super().__init__(message)
        self.code = code


class NotReady(Exception):
    """A server answers that it cannot do its work yet, and why."""

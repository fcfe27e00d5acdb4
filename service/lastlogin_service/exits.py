"""How a program ends: exit codes as in sysexits.h, so that systemd units and scripts can tell them apart."""

OK = 0
DATA = 65  # EX_DATAERR: stored data is not what it should be
NOINPUT = 66  # EX_NOINPUT: a file that was named cannot be read
UNAVAILABLE = 69  # EX_UNAVAILABLE: Kafka or Cassandra does not answer
SOFTWARE = 70  # EX_SOFTWARE: a defect of ours
TEMPFAIL = 75  # EX_TEMPFAIL: starting again may help
CONFIG = 78  # EX_CONFIG: starting again does not help before somebody changes the configuration


class Exit(Exception):
    """End the program with `code`, having told people `message`: what is wrong and what to do, no traceback."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message

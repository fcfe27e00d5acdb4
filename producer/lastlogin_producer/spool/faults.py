"""What can go wrong with the spool's file, sorted by what the caller does about it.

    SpoolFault
      NotStored    the group was rolled back; go on
      Unsure       the group may be stored; `SpoolFile.reopen`, then go on
      Damaged      SQLite cannot make sense of the file, or it lacks messages; `salvage` makes a new one

A file that a person must look at (of a later version, or of another program) ends as `Exit` at once.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager


_NOT_STORED = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
# No statement of ours breaks a constraint while the tables are as they were written.
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CONSTRAINT}


class SpoolFault(Exception):
    """Base of what can go wrong with the file; never raised itself."""


class NotStored(SpoolFault):
    """Nothing of the group is stored, nor ever will be: disk full, or locked by a foreign process."""


class Unsure(SpoolFault):
    """An I/O error: the group may or may not be stored."""


class Damaged(SpoolFault):
    """SQLite refuses the file as malformed, or as no database at all, or its rows contradict each other."""


class NoRoom(ValueError):
    """What was asked to wait again does not fit beside what waits; the message says what to do."""


@contextmanager
def translated() -> Iterator[None]:
    """Turn SQLite's and the system's errors into ours, by what the caller does about them."""
    try:
        yield
    except UnicodeError as error:
        raise Damaged("a text in it is none") from error
    except sqlite3.Error as error:
        if isinstance(error, sqlite3.OperationalError) and "Could not decode" in str(error):
            # Python's own error for the same.
            raise Damaged(str(error)) from error
        # The low byte is the primary code; ProgrammingError and its like have none.
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_IOERR) & 0xFF
        fault = NotStored if code in _NOT_STORED else Damaged if code in _DAMAGED else Unsure
        raise fault(str(error)) from error
    except OSError as error:
        raise Unsure(str(error)) from error

"""A process whose children store logins until they are killed.

Commands on standard input, answers on standard output: `<directory> <first number>` makes a child that writes the
number of each login that its spool has reported as stored; `wait` tells `dead` when the child is.
"""

import asyncio
import os
import sys
from functools import partial
from pathlib import Path

from lastlogin_producer.outcome import Outcome
from tests.support.spool import keep, open_spool, unnumbered


# As many logins at a time as make groups of several.
_AT_A_TIME = 16


async def store_for_ever(directory: Path, number: int) -> None:
    """Append login after login; report each that is stored."""
    free = asyncio.Semaphore(_AT_A_TIME)

    def done(number: int, outcome: Outcome) -> None:
        if outcome is Outcome.STORED:
            os.write(1, b"%d\n" % number)
        free.release()

    async with open_spool(directory) as spool:
        while True:
            await free.acquire()
            keep(spool, unnumbered(f"user{number}"), partial(done, number))
            number += 1


def main() -> None:
    """Serve commands. Children are forked, for starting Python takes longer than all the rest."""
    child = 0
    for line in sys.stdin:
        if line == "wait\n":
            os.waitpid(child, 0)
            os.write(1, b"dead\n")
            continue
        directory, first = line.split()
        child = os.fork()
        if child == 0:
            asyncio.run(store_for_ever(Path(directory), int(first)))
        os.write(1, b"pid %d\n" % child)


if __name__ == "__main__":
    main()

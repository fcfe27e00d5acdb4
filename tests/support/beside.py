"""Two runs of pytest at once, each with servers of its own: tests against servers mostly wait.

As a program, `make test`: half of them in each. Arguments are pytest's, for both.
"""

import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from subprocess import PIPE, STDOUT, Popen
from tempfile import TemporaryDirectory
from threading import Thread

from lastlogin_stack.layout import DIRECTORY_VARIABLE, PORT_SPAN, PORT_VARIABLE, Layout
from tests.support.servers import layout_of_tests


_TESTS = Path(__file__).parents[1]
# What is about rows, and what needs every server: as long as everything else.
_ROWS = (
    "contract",
    *(f"integration/test_{subject}*.py" for subject in ("audit", "consumer", "docs", "schema", "show", "table")),
    "integration/backend",
    "e2e",
)


def _run(
    name: str, layout: Layout, arguments: Sequence[str], last: dict[str, str], **variables: str
) -> tuple[Popen[str], Thread]:
    variables |= {DIRECTORY_VARIABLE: str(layout.directory), PORT_VARIABLE: str(layout.base_port)}
    process = Popen(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments],
        env={**os.environ, "PYTHONUNBUFFERED": "1", **variables},
        stdout=PIPE,
        stderr=STDOUT,
        text=True,
        # Ctrl-C reaches us alone: of two of them, the second would end pytest before it has stopped its servers.
        start_new_session=True,
    )

    def show() -> None:
        for line in process.stdout or ():
            last[name] = line
            # Read on when nobody listens any more, as after Ctrl-C before a `| tee`: it still stops its servers.
            with suppress(BrokenPipeError):
                sys.stdout.write(f"{name} | {line}")
                sys.stdout.flush()

    shown = Thread(target=show)
    shown.start()
    return process, shown


def run(one: tuple[str, Sequence[str]], other: tuple[str, Sequence[str]], **variables: str) -> int:
    """Run both, each a name and arguments of pytest; return 0 when both have passed.

    Each line of output has before it the name of the one that it is from.
    """
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.default_int_handler)
    layout = layout_of_tests()
    # Servers with passwords and partitioned ones stand on the two hundred ports above a run's own.
    beside = Layout(layout.directory.with_name(f"{layout.directory.name}-beside"), layout.base_port + 5 * PORT_SPAN)
    width = max(len(one[0]), len(other[0]))
    runs = []
    last: dict[str, str] = {}
    with TemporaryDirectory(prefix="lastlogin-turns-") as turns:
        try:
            for (name, arguments), its in ((one, layout), (other, beside)):
                runs.append(_run(name.ljust(width), its, ["--turns", turns, *arguments], last, **variables))
            for process, _ in runs:
                process.wait()
        except KeyboardInterrupt:
            for process, _ in runs:
                process.send_signal(signal.SIGINT)
        codes = [process.wait() for process, _ in runs]
    for _, shown in runs:
        shown.join()
    # The result of the one that ended first is far above by now.
    for name, line in last.items():
        sys.stdout.write(f"{name} | {line.strip().strip('= ')}\n")
    return int(codes != [0, 0])


def main(arguments: list[str]) -> int:
    """Run every test that needs servers; return 0 when all have passed."""
    rows = [str(path) for pattern in _ROWS for path in sorted(_TESTS.glob(pattern))]
    rest = [str(_TESTS / "integration"), *(f"--ignore={path}" for path in rows)]
    return run(("rows", [*rows, *arguments]), ("rest", [*rest, *arguments]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""`make test-soak`: the hour without Kafka beside all other faults, each with servers of its own.

Arguments are pytest's, for both. Each line of output has before it which of the two it is from.
"""

import os
import signal
import sys
from pathlib import Path
from subprocess import PIPE, STDOUT, Popen
from threading import Thread

from lastlogin_stack.layout import DIRECTORY_VARIABLE, PORT_SPAN, PORT_VARIABLE, Layout
from tests.support.servers import layout_of_tests


_FAULTS = Path(__file__).parents[1] / "faults"
_OUTAGE = str(_FAULTS / "test_kafka_outage.py")


def _run(name: str, layout: Layout, *arguments: str) -> tuple[Popen[str], Thread]:
    variables = {DIRECTORY_VARIABLE: str(layout.directory), PORT_VARIABLE: str(layout.base_port)}
    process = Popen(
        [sys.executable, "-m", "pytest", "-v", "-p", "no:cacheprovider", *arguments],
        env={**os.environ, "LASTLOGIN_SOAK": "1", "PYTHONUNBUFFERED": "1", **variables},
        stdout=PIPE,
        stderr=STDOUT,
        text=True,
        # Ctrl-C reaches us alone: of two of them, the second would end pytest before it has stopped its servers.
        start_new_session=True,
    )

    def show() -> None:
        for line in process.stdout or ():
            sys.stdout.write(f"{name:6} | {line}")
            sys.stdout.flush()

    shown = Thread(target=show)
    shown.start()
    return process, shown


def main(arguments: list[str]) -> int:
    """Run both; return 0 when both have passed."""
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.default_int_handler)
    layout = layout_of_tests()
    beside = Layout(layout.directory.with_name(f"{layout.directory.name}-outage"), layout.base_port + PORT_SPAN + 1)
    runs = []
    try:
        runs.append(_run("outage", beside, _OUTAGE, *arguments))
        runs.append(_run("faults", layout, str(_FAULTS), f"--ignore={_OUTAGE}", *arguments))
        for process, _ in runs:
            process.wait()
    except KeyboardInterrupt:
        for process, _ in runs:
            process.send_signal(signal.SIGINT)
    codes = [process.wait() for process, _ in runs]
    for _, shown in runs:
        shown.join()
    return int(codes != [0, 0])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

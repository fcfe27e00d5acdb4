"""`make test-soak`: the hour without Kafka beside all other faults, each with servers of its own.

Arguments are pytest's, for both.
"""

import sys
from pathlib import Path

from tests.support.beside import run


_FAULTS = Path(__file__).parents[1] / "faults"
_OUTAGE = str(_FAULTS / "test_kafka_outage.py")


def main(arguments: list[str]) -> int:
    """Run both; return 0 when both have passed."""
    return run(
        ("faults", ["-v", str(_FAULTS), f"--ignore={_OUTAGE}", *arguments]),
        ("outage", ["-v", _OUTAGE, *arguments]),
        LASTLOGIN_SOAK="1",
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""The command `lastlogin-producer`, also as `python -m lastlogin_producer`."""

import os

from lastlogin_service.entry import start
from lastlogin_service.inherited import nobody_left_waiting


NAME = "lastlogin-producer"


def main() -> None:
    """Entry of the console script."""
    with nobody_left_waiting(NAME, os.environ):
        start(NAME, "producer", "lastlogin_producer.main")


if __name__ == "__main__":
    main()

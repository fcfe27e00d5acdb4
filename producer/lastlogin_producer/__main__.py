"""The command `lastlogin-producer`, also as `python -m lastlogin_producer`."""

from lastlogin_service.entry import start


def main() -> None:
    """Entry of the console script."""
    start("lastlogin-producer", "producer", "lastlogin_producer.main")


if __name__ == "__main__":
    main()

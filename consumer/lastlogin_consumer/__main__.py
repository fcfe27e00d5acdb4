"""The command `lastlogin-consumer`, also as `python -m lastlogin_consumer`."""

from lastlogin_service.entry import start


def main() -> None:
    """Entry of the console script."""
    start("lastlogin-consumer", "consumer", "lastlogin_consumer.main")


if __name__ == "__main__":
    main()

"""The command `lastlogin`, also as `python -m lastlogin_ops`."""

from lastlogin_service.entry import start


def main() -> None:
    """Entry of the console script."""
    start("lastlogin", "ops", "lastlogin_ops.main")


if __name__ == "__main__":
    main()

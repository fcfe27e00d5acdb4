"""`python -m lastlogin_stack`; see `lastlogin_stack.command_line`."""

import signal
import sys


def _run() -> None:
    # The client libraries take a quarter second to import; a Ctrl-C meanwhile deserves no traceback either.
    try:
        from lastlogin_stack.command_line import main  # noqa: PLC0415 - imported where the interrupt is caught
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
    main()


if __name__ == "__main__":
    _run()

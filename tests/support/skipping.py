"""Run the consumer with a defect: logins of one user at one time are passed as if they were written.

python skipping.py USER LOGIN_AT_US -- SCRIPT ARGUMENT...
"""

import runpy
import sys
from typing import Any

from lastlogin_consumer.compact import Window


def skip(user: str, login_at_us: int) -> None:
    """Make windows of this process lose these logins."""
    add = Window.add

    def lossy(window: Window, item: Any, now: float) -> None:
        if (getattr(item, "user", None), getattr(item, "login_at_us", None)) != (user, login_at_us):
            add(window, item, now)

    Window.add = lossy  # type: ignore[method-assign]


if __name__ == "__main__":
    skip(sys.argv[1], int(sys.argv[2]))
    del sys.argv[:4]
    runpy.run_path(sys.argv[0], run_name="__main__")

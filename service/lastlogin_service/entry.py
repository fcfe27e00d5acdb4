"""The first thing that runs of each command: everything else may need a package that is not installed.

One wheel holds all three commands, and a mail backend installs the packages of one.
"""

import sys
from importlib import import_module

from lastlogin_service.exits import CONFIG


def start(name: str, extra: str, module: str) -> None:
    """Run `main` of `module` as the command `name`; exit with 78 when a package that it needs is not installed.

    A module of our own that is missing is a defect, and raised.
    """
    try:
        main = import_module(module).main
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if not missing or missing.startswith("lastlogin"):
            raise
        sys.stderr.write(
            f"{name}: the Python module {missing} is not installed here; install what {name} needs: "
            f"the {extra} archive of this release, or `pip install 'lastlogin[{extra}]'`\n"
        )
        sys.exit(CONFIG)
    main()

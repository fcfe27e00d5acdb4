"""Run a program of ours with other constants, where as they are a test would take minutes.

python with_constants.py MODULE:NAME=NUMBER... -- SCRIPT ARGUMENT...
"""

import runpy
import sys
from importlib import import_module


if __name__ == "__main__":
    split = sys.argv.index("--")
    for constant in sys.argv[1:split]:
        where, _, number = constant.partition("=")
        module, _, name = where.partition(":")
        setattr(import_module(module), name, type(getattr(import_module(module), name))(number))
    del sys.argv[: split + 1]
    runpy.run_path(sys.argv[0], run_name="__main__")

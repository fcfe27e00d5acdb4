"""Real servers, started once per run and only when a test asks for them.

The stack lives in `.stack/test`, away from that of `make demo`; LASTLOGIN_STACK_DIR and LASTLOGIN_STACK_PORT put it
elsewhere. Servers that already run there are used and left running.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from lastlogin_stack.layout import PROJECT_ROOT, Layout, layout_from
from lastlogin_stack.readback import StatsTable
from lastlogin_stack.services import ConsumerService, ProducerService
from tests.support.servers import Running


_TEST_DIRECTORY = PROJECT_ROOT / ".stack" / "test"
_TEST_PORT = 18000
_QUICK_FIRST = ("unit", "contract", "integration", "e2e")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run what fails fastest first."""
    tests = Path(__file__).parent
    items.sort(key=lambda item: _QUICK_FIRST.index(item.path.relative_to(tests).parts[0]))


@pytest.fixture(scope="session")
def layout() -> Layout:
    """Where the servers of this run live."""
    defaults = {"LASTLOGIN_STACK_DIR": str(_TEST_DIRECTORY), "LASTLOGIN_STACK_PORT": str(_TEST_PORT)}
    return layout_from(defaults | dict(os.environ))

"""The commands of the documentation, run as they stand there."""

import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lastlogin_stack.layout import PROJECT_ROOT, Layout
from lastlogin_stack.services import lastlogin_command
from tests.support.docs import ON_THE_PIPELINE, commands


def variables(prefix: str, file: Path) -> Iterator[tuple[str, str]]:
    """The settings of a file as variables: readers of the documentation have theirs in /etc/lastlogin."""
    tables: dict[str, dict[str, Any]] = tomllib.loads(file.read_text(encoding="utf-8"))
    for section, table in tables.items():
        for key, value in table.items():
            yield f"{prefix}{section}__{key}".upper(), value if isinstance(value, str) else json.dumps(value)


@pytest.fixture
def environ(pipeline: Layout) -> dict[str, str]:
    """Everything configured for the pipeline, and its programs found first."""
    lastlogin_command(pipeline)  # writes its settings
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LASTLOGIN_")}
    for prefix, name in (
        ("LASTLOGIN_PRODUCER_", "producer"),
        ("LASTLOGIN_CONSUMER_", "consumer"),
        ("LASTLOGIN_", "lastlogin"),
    ):
        kept |= variables(prefix, pipeline.services_directory / f"{name}.toml")
    path = f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"
    return kept | {
        "PATH": path,
        "SOCKET": str(pipeline.dict_socket),
        "USER_NAME": "docs@example.org",
        "PRODUCER_CONFIG": str(pipeline.services_directory / "producer.toml"),
        "MAP": str(PROJECT_ROOT / "tests/data/dovecot/manual-addresses.conf.ext"),
    }


@pytest.mark.parametrize("page", ON_THE_PIPELINE)
def test_commands(page: str, environ: dict[str, str], tmp_path: Path) -> None:
    """All commands of a page, one after the other in one shell, succeed."""
    script = "\n".join(commands(page))
    done = subprocess.run(
        ["bash", "-eu", "-o", "pipefail", "-c", script],
        env=environ,
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert 0 == done.returncode, f"{done.stdout}\n{done.stderr}"

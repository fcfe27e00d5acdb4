"""What `make dist` builds, installed without an index into fresh environments, and run from there."""

import hashlib
import os
import re
import subprocess
import tarfile
import time
import tomllib
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lastlogin_stack.layout import PROJECT_ROOT, Layout
from lastlogin_stack.readback import StatsTable
from tests.support.consumer import ConsumerProcess
from tests.support.dict_client import write
from tests.support.producer import ProducerProcess
from tests.support.topics import Topics, own_topics


pytestmark = pytest.mark.timeout(300)

# Nobody listens on the discard port; what this machine's pip is told about indexes does not count.
_OFFLINE = {"PIP_NO_INDEX": "1", "PIP_INDEX_URL": "http://127.0.0.1:9/", "PIP_CONFIG_FILE": os.devnull}
_DATA, _USAGE, _UNFIT, _TAKEN, _CONFIG = 65, 64, 69, 73, 78


def _run(
    command: list[str | Path], directory: Path = PROJECT_ROOT, environ: Mapping[str, str] = _OFFLINE
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=directory, env=os.environ | environ, capture_output=True, text=True, check=False, timeout=240
    )


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory filled as `make dist` fills dist/."""
    directory = tmp_path_factory.mktemp("dist")
    done = _run([PROJECT_ROOT / "deploy/dist/build", directory], environ={})
    assert 0 == done.returncode, done.stderr
    return directory


@pytest.fixture(scope="module")
def unpacked(dist: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The archives of both services, unpacked, by role."""
    found = {}
    for role in ("producer", "consumer"):
        [archive] = dist.glob(f"*-{role}-*.tar.gz")
        directory = tmp_path_factory.mktemp(role)
        subprocess.run(["tar", "-xzf", archive, "-C", directory], check=True)
        found[role] = directory / archive.name.removesuffix(".tar.gz")
    return found


@pytest.fixture(scope="module")
def installed(unpacked: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Environments that the archives' own script has made, by role."""
    directory = tmp_path_factory.mktemp("opt")

    def install(role: str) -> tuple[int, str]:
        done = _run(["./install", directory / role], unpacked[role])
        return done.returncode, done.stderr

    with ThreadPoolExecutor() as threads:
        assert [(0, "")] * len(unpacked) == list(threads.map(install, unpacked))
    return {role: directory / role for role in unpacked}


@pytest.fixture
def topics(stack: Layout) -> Iterator[Topics]:
    """Topics of one test."""
    with own_topics(stack, 2) as topics:
        topics.create(f"{topics.events}-quarantine", 1)
        yield topics


def test_a_login_becomes_a_row(installed: dict[str, Path], topics: Topics, stack: Layout, tmp_path: Path) -> None:
    """Producer and consumer, each from its own environment, bring a login from the socket into the table."""
    producer = ProducerProcess(
        tmp_path,
        KAFKA__BOOTSTRAP_SERVERS=stack.kafka_bootstrap,
        TOPICS__EVENTS=topics.events,
        TOPICS__QUARANTINE=f"{topics.events}-quarantine",
        TOPICS__DEAD_LETTERS=topics.dead_letters,
    )
    consumer = ConsumerProcess(stack, topics, tmp_path)
    producer.scripts, consumer.scripts = (installed[role] / "bin" for role in ("producer", "consumer"))
    user, at_ms = topics.events, time.time_ns() // 1_000_000
    with producer, consumer, StatsTable(stack) as table:
        producer.serve()

        assert b"O1\n" == write(producer.socket, user, f"shared/last-login/imap/{user}/192.0.2.1", str(at_ms))
        row = table.wait_for(user, lambda row: "imap" in row, 60)
        assert (at_ms * 1000, "192.0.2.1") == (row["imap"].time_written_us, row["imap"].address)
        assert 0 == producer.stop()
        assert 0 == consumer.stop()


def test_a_backend_has_nothing_of_cassandra(installed: dict[str, Path]) -> None:
    """The producer's environment has no cassandra-driver; the commands that need it say so and end with 78."""
    scripts = installed["producer"] / "bin"

    assert 1 == _run([scripts / "python", "-c", "import cassandra"]).returncode
    assert "cassandra" not in _run([scripts / "python", "-m", "pip", "list"]).stdout
    for command, extra in (("lastlogin-consumer", "consumer"), ("lastlogin", "ops")):
        done = _run([scripts / command, "--version"])
        assert _CONFIG == done.returncode
        assert re.fullmatch(rf"{command}: the Python module \w+ is not installed.*\[{extra}\].*\n", done.stderr)


def test_the_version_has_one_place(dist: Path, installed: dict[str, Path]) -> None:
    """Wheel, archives and commands say the version of pyproject.toml."""
    version = tomllib.loads((PROJECT_ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]

    assert [f"lastlogin-{version}-py3-none-any.whl"] == [path.name for path in dist.glob("*.whl")]
    assert 3 == len(list(dist.glob(f"lastlogin-{version}-*.tar.gz")))
    for role, home in installed.items():
        assert f"lastlogin-{role} {version}\n" == _run([home / "bin" / f"lastlogin-{role}", "--version"]).stdout


def test_installing_again(unpacked: dict[str, Path], installed: dict[str, Path]) -> None:
    """A second run over an installation succeeds and leaves it working; a foreign directory is refused with 73."""
    again = _run(["./install", installed["producer"]], unpacked["producer"])
    foreign = _run(["./install", PROJECT_ROOT / "docs"], unpacked["producer"])

    assert (0, "") == (again.returncode, again.stderr)
    assert 0 == _run([installed["producer"] / "bin" / "lastlogin-producer", "--version"]).returncode
    assert _TAKEN == foreign.returncode
    assert foreign.stderr.endswith("holds something else; name a directory that is new, empty, or an earlier "
                                   "installation\n")  # fmt: skip


def test_wheels_that_are_missing_or_damaged(unpacked: dict[str, Path], tmp_path: Path) -> None:
    """Each is one sentence that names the file, and 65; nothing is installed."""
    tree = unpacked["producer"]
    [wheel] = tree.glob("wheels/click-*.whl")
    content = wheel.read_bytes()
    try:
        wheel.unlink()
        missing = _run(["./install", tmp_path / "x"], tree)
        wheel.write_bytes(content[:-1] + b"x")
        damaged = _run(["./install", tmp_path / "x"], tree)
    finally:
        wheel.write_bytes(content)

    for done, what in ((missing, "is missing"), (damaged, "is damaged")):
        assert (_DATA, f"install: ./wheels/{wheel.name} {what}: copy and unpack the archive again\n") == (
            done.returncode,
            done.stderr,
        )
    assert not (tmp_path / "x").exists()


def test_a_python_that_does_not_fit(unpacked: dict[str, Path], tmp_path: Path) -> None:
    """Another interpreter, none at all, and no directory are refused in words."""
    tree = unpacked["producer"]
    other = tmp_path / "python"
    other.write_text("#!/bin/sh\necho cp39 linux_x86_64\n")
    other.chmod(0o755)

    for environ, code, words in (
        ({"PYTHON": str(other)}, _UNFIT, "is cp39 linux_x86_64"),
        ({"PYTHON": "/nonexistent/python"}, _UNFIT, "does not run"),
    ):
        done = _run(["./install", tmp_path / "x"], tree, environ)
        assert code == done.returncode
        assert words in done.stderr
        assert 1 == done.stderr.count("\n")
    assert _USAGE == _run(["./install"], tree).returncode


def test_the_wheel_is_reproducible(dist: Path, tmp_path: Path) -> None:
    """Built again from the same source, the wheel has the same bytes, as SHA256SUMS says."""
    [wheel] = dist.glob("*.whl")
    epoch = subprocess.run(
        ["git", "log", "-1", "--format=%ct"], cwd=PROJECT_ROOT, capture_output=True, text=True, check=True
    ).stdout.strip()
    done = _run([PROJECT_ROOT / ".venv/bin/hatchling", "build", "-t", "wheel", "-d", tmp_path],
                environ={"SOURCE_DATE_EPOCH": epoch})  # fmt: skip
    assert 0 == done.returncode
    digest = hashlib.sha256((tmp_path / wheel.name).read_bytes()).hexdigest()

    assert f"{digest}  {wheel.name}" in (dist / "SHA256SUMS").read_text("utf-8").splitlines()


def test_archives_name_no_index(unpacked: dict[str, Path]) -> None:
    """What an archive says to pip holds hashes, and no address of an index."""
    for tree in unpacked.values():
        text = (tree / "requirements.txt").read_text("utf-8")
        assert "--hash=sha256:" in text
        assert "://" not in text
        assert "index" not in text


def test_archives_have_their_units(unpacked: dict[str, Path]) -> None:
    """Each service's archive has its systemd units as they are in the source, and none of the other's."""
    for role, tree in unpacked.items():
        units = sorted((PROJECT_ROOT / "deploy/systemd").glob(f"lastlogin-{role}*"))
        assert [unit.name for unit in units] == sorted(path.name for path in (tree / "systemd").iterdir())
        for unit in units:
            assert unit.read_bytes() == (tree / "systemd" / unit.name).read_bytes()


def test_the_archive_of_the_command_has_the_audit(dist: Path) -> None:
    """The archive with `lastlogin` has the units of its daily audit, and none of a service."""
    [archive] = dist.glob("*-ops-*.tar.gz")
    with tarfile.open(archive) as tar:
        names = [Path(name).name for name in tar.getnames() if "/systemd/" in name]

    assert sorted(names) == [f"lastlogin-audit.{kind}" for kind in ("service", "sysusers", "timer")]

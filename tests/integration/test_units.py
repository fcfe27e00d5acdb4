"""The systemd units that are delivered: systemd understands them, they are hardened, and they agree with the code."""

import os
import re
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path

import pytest

from lastlogin_consumer.settings import ShutdownSettings as ConsumerShutdown
from lastlogin_consumer.source import SESSION_TIMEOUT_MS
from lastlogin_producer.settings import ShutdownSettings as ProducerShutdown
from lastlogin_producer.settings import SocketSettings, SpoolSettings
from lastlogin_service.exits import CONFIG, SOFTWARE
from lastlogin_stack.layout import PROJECT_ROOT


UNITS = PROJECT_ROOT / "deploy/systemd"
DEADLINES_S = {
    "lastlogin-producer.service": ProducerShutdown().deadline_s,
    "lastlogin-consumer.service": ConsumerShutdown().deadline_s,
}
AUDIT = "lastlogin-audit.service"
# Below 2 systemd calls a service "OK"; without any of the hardening it is 9.2, "UNSAFE".
MOST_EXPOSURE = 1.5


class Unit(ConfigParser):
    """A unit file; of a key that is given several times the last one."""

    def __init__(self, name: str) -> None:
        super().__init__(strict=False, interpolation=None)
        self.optionxform = str  # type: ignore[assignment,method-assign]
        self.read(UNITS / name, encoding="utf-8")


def exposure(name: str) -> float:
    """What `systemd-analyze security` says of a service."""
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", UNITS / name],
        capture_output=True,
        text=True,
        check=True,
    )
    [level] = re.findall(r"Overall exposure level for \S+: (\d+\.\d)", done.stdout)
    return float(level)


def test_systemd_understands_them(tmp_path: Path) -> None:
    """`systemd-analyze verify` has nothing to say against any of them, but for what only later versions know."""
    for unit in (each for each in UNITS.iterdir() if each.suffix != ".sysusers"):
        text = unit.read_text("utf-8").replace("/opt/lastlogin/bin", str(Path(sys.executable).parent))
        (tmp_path / unit.name).write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *sorted(tmp_path.iterdir())],
        capture_output=True,
        text=True,
        check=False,
    )

    ours = [line for line in done.stderr.splitlines() if "lastlogin" in line and "RestartMode" not in line]
    assert (0, []) == (done.returncode, ours)
    assert 6 == len(list(tmp_path.iterdir()))


@pytest.mark.parametrize("name", [*DEADLINES_S, AUDIT])
def test_exposure(name: str) -> None:
    """The level is below the bound, and the one that the documentation tells."""
    level = exposure(name)

    assert level <= MOST_EXPOSURE
    told = re.findall(
        rf"`{name}` has an exposure level of (\d+\.\d)", (PROJECT_ROOT / "docs/operations.md").read_text()
    )
    assert [str(level)] == told


def test_the_socket_is_where_the_producer_expects_it() -> None:
    """Path and mode of the socket unit are the defaults of `[socket]`, and systemd removes the file when it stops."""
    unit = Unit("lastlogin-producer.socket")["Socket"]

    assert str(SocketSettings().path) == unit["ListenStream"]
    assert SocketSettings().mode == unit["SocketMode"]
    assert "yes" == unit["RemoveOnStop"]
    assert "0" == unit["TriggerLimitIntervalSec"]


def test_the_directories_are_those_of_the_settings() -> None:
    """What may be written to is where the socket and the spool are by default; the socket survives a restart."""
    unit = Unit("lastlogin-producer.service")["Service"]

    assert str(SocketSettings().path.parent) == f"/run/{unit['RuntimeDirectory']}"
    assert str(SpoolSettings().directory.parent) == f"/var/lib/{unit['StateDirectory']}"
    assert "yes" == unit["RuntimeDirectoryPreserve"]


def test_restarts() -> None:
    """Everything but an end that needs a person is started again, without limit; else the socket is taken away."""
    unit = Unit("lastlogin-producer.service")

    assert ("always", "direct") == (unit["Service"]["Restart"], unit["Service"]["RestartMode"])
    assert "0" == unit["Unit"]["StartLimitIntervalSec"]
    assert str(CONFIG) in unit["Service"]["RestartPreventExitStatus"].split()
    assert "lastlogin-producer.socket" == unit["Unit"]["BindsTo"]
    assert unit["Unit"]["OnFailure"] == "lastlogin-producer-down.service"
    assert Unit(unit["Unit"]["OnFailure"])["Service"]["ExecStart"].endswith("stop lastlogin-producer.socket")


@pytest.mark.parametrize("name", DEADLINES_S)
def test_what_they_tell_systemd(name: str) -> None:
    """Both say when they are ready and feed a watchdog; a stop may take what the settings allow, and what follows."""
    unit = Unit(name)["Service"]

    assert "notify" == unit["Type"]
    assert int(unit["WatchdogSec"]) >= 10
    assert int(unit["TimeoutStopSec"]) > DEADLINES_S[name] + 6


def test_a_consumer_waits_as_long_as_it_takes() -> None:
    """Ended in whichever way, but for what needs a person, it is started again; no start limit counts."""
    unit = Unit("lastlogin-consumer.service")

    assert ("always", str(CONFIG)) == (unit["Service"]["Restart"], unit["Service"]["RestartPreventExitStatus"])
    assert "0" == unit["Unit"]["StartLimitIntervalSec"]
    # Later than the group: whoever hangs for so long has no partitions any more.
    assert int(unit["Service"]["WatchdogSec"]) * 1000 >= SESSION_TIMEOUT_MS


def test_the_audit() -> None:
    """It runs once a day, and what it writes is in its own directory, where node_exporter may read it."""
    unit, timer = Unit(AUDIT)["Service"], Unit("lastlogin-audit.timer")["Timer"]
    command, _, file = unit["ExecStart"].partition(" audit --metrics-file ")

    assert command == "/opt/lastlogin/bin/lastlogin"
    assert file == f"%S/{unit['StateDirectory']}/lastlogin_audit.prom"
    assert "0755" == unit["StateDirectoryMode"]
    next_runs = subprocess.run(
        ["systemd-analyze", "calendar", "--iterations=2", timer["OnCalendar"]],
        capture_output=True,
        text=True,
        check=True,
        env={"TZ": "UTC", "PATH": os.environ["PATH"]},
    ).stdout
    assert [1, 1] == [int(hour) for hour in re.findall(r"(\d\d):00:00 UTC", next_runs)]


def test_audits_that_fail() -> None:
    """What is wrong shows as a unit that has failed; Kafka or Cassandra away is tried again."""
    unit = Unit(AUDIT)["Service"]

    assert "SuccessExitStatus" not in unit
    assert "on-failure" == unit["Restart"]
    assert ["1", str(SOFTWARE), str(CONFIG)] == unit["RestartPreventExitStatus"].split()


def test_what_it_runs_as(tmp_path: Path) -> None:
    """`systemd-sysusers` makes the user and group that the units name."""
    for role in ("producer", "consumer", "audit"):
        root = tmp_path / role
        (root / "usr/lib/sysusers.d").mkdir(parents=True)
        (root / "etc").mkdir()
        (root / "usr/lib/sysusers.d/lastlogin.conf").write_text((UNITS / f"lastlogin-{role}.sysusers").read_text())
        subprocess.run(["systemd-sysusers", f"--root={root}"], check=True, capture_output=True)
        users = dict(re.findall(r"^([\w-]+):x:\d+:(\d+):", (root / "etc/passwd").read_text(), re.MULTILINE))
        groups = dict(re.findall(r"^([\w-]+):x:(\d+):", (root / "etc/group").read_text(), re.MULTILINE))
        unit = Unit(f"lastlogin-{role}.service")["Service"]

        assert users[unit["User"]] == groups[unit.get("Group", unit["User"])]

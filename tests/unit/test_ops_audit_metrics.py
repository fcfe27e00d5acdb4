"""What audits tell Prometheus, and the file that it is in."""

import errno
import os
import stat
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from lastlogin_ops.audit import metrics_file
from lastlogin_ops.audit.metrics import judged, not_judged
from lastlogin_ops.audit.report import Report
from lastlogin_ops.audit.sequences import Hole
from lastlogin_ops.audit.verdicts import WRONG, Case, Verdict
from lastlogin_service.exits import Exit


def samples(text: str) -> dict[str, float]:
    """Values by what stands after the prefix, the verdict of a row behind it; nothing is told twice."""
    found = [
        ("_".join([sample.name, *sample.labels.values()]).removeprefix("lastlogin_audit_"), sample.value)
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    ]
    assert len(found) == len(dict(found))
    return dict(found)


def text(code: int = 0, completed_at_s: float = 1_764_374_400.25) -> str:
    """What an audit tells that found something of each kind."""
    report = Report("events", "group", ["imap"])
    report.add_holes([Hole("mail1", 1, 5, 8), Hole("mail2", 1, 3, 3)])
    report.add_unreadable("events", 0, 7)
    report.add_not_set_aside(0, 8)
    report.add_not_set_aside(0, 9)
    for verdict in (Verdict.OLDER, Verdict.OLDER, Verdict.MISSING, Verdict.RIGHT):
        report.add_case(Case(b"alice", 0, None, None, None, None), verdict)
    return judged(report, code, completed_at_s, 4.5)


FOUND = {
    "missing_messages": 5,
    **{f"wrong_rows_{verdict.value}": 0 for verdict in WRONG},
    "wrong_rows_older": 2,
    "wrong_rows_missing": 1,
    "unreadable_records": 1,
    "not_set_aside_records": 2,
    "completed_timestamp_seconds": 1_764_374_400.25,
    "duration_seconds": 4.5,
}


@contextmanager
def without_rights(directory: Path) -> Iterator[None]:
    """Nothing can be written to the directory, by root neither."""
    directory.chmod(0o555)
    was = os.geteuid()
    try:
        if was == 0:
            os.seteuid(65_534)
        yield
    finally:
        os.seteuid(was)
        directory.chmod(0o755)


def test_what_was_found() -> None:
    """Numbers of all holes, every verdict by its name, also at 0, and the times."""
    assert samples(text(1)) == FOUND | {"exit_code": 1}


@pytest.mark.parametrize("told", [text(), not_judged(text(), 69), not_judged("", 78)])
def test_what_promtool_says(told: str) -> None:
    """`promtool check metrics` has nothing to say, also after audits that could not judge."""
    done = subprocess.run(
        ["promtool", "check", "metrics"], input=told, capture_output=True, text=True, timeout=60, check=False
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_an_audit_that_cannot_judge() -> None:
    """What was found before stays, with its time, so that its age is seen; the exit code is the new one."""
    once = not_judged(text(1), 69)

    assert samples(once) == FOUND | {"exit_code": 69}
    assert samples(not_judged(once, 78)) == FOUND | {"exit_code": 78}
    assert samples(not_judged("", 69)) == {"exit_code": 69}
    assert samples(not_judged("of somebody else 1\n", 69)) == {"exit_code": 69}


def test_the_file(tmp_path: Path) -> None:
    """It is put in place whole, anybody may read it, and nothing else is left."""
    file = tmp_path / "lastlogin_audit.prom"
    before = os.umask(0o077)
    try:
        metrics_file.write(file, "first\n")
        with file.open() as opened:
            metrics_file.write(file, "second\n")
            assert opened.read() == "first\n"
    finally:
        os.umask(before)

    assert file.read_text() == "second\n"
    assert stat.S_IMODE(file.stat().st_mode) == 0o644
    assert list(tmp_path.iterdir()) == [file]


def test_failures(tmp_path: Path) -> None:
    """The file tells an audit's exit code, 70 for a defect, and nothing of one that was interrupted."""
    file = tmp_path / "lastlogin_audit.prom"
    endings = ((Exit(69, "away"), 69), (ValueError("defect"), 70), (KeyboardInterrupt(), 0))
    for error, code in endings:
        file.write_text(text())
        with pytest.raises(type(error)), metrics_file.telling_failures(file):
            raise error
        assert samples(file.read_text()) == FOUND | {"exit_code": code}
    file.write_bytes(b"\xff")
    with pytest.raises(Exit), metrics_file.telling_failures(file):
        raise Exit(69, "away")
    assert samples(file.read_text()) == {"exit_code": 69}
    with metrics_file.telling_failures(file):
        assert list(tmp_path.iterdir()) == [file]


def test_places_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the audit: no directory, something else in its place, and no rights are 78 each; no room is 69."""
    (tmp_path / "file").touch()
    mend = "let this user write to its directory, or name another place with --metrics-file"
    for place, why in (
        ("none/a.prom", "No such file or directory; make its directory, writable for this user"),
        ("file/a.prom", f"Not a directory; {mend}"),
    ):
        with pytest.raises(Exit) as end, metrics_file.telling_failures(tmp_path / place):
            pytest.fail("the audit runs")
        assert (end.value.code, end.value.message) == (78, f"{tmp_path / place}: cannot be written: {why}")
    file = tmp_path / "a.prom"
    with without_rights(tmp_path), pytest.raises(Exit) as end, metrics_file.telling_failures(file):
        pytest.fail("the audit runs")
    assert (end.value.code, end.value.message) == (78, f"{file}: cannot be written: Permission denied; {mend}")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    file.write_text("as it was")
    # A server of files may say so only now.
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(Exit) as end:
        metrics_file.write(file, text())
    assert (end.value.code, end.value.message) == (69, f"{file}: cannot be written: No space left on device")
    # What ended the audit is what people are told.
    with pytest.raises(Exit, match="away"), metrics_file.telling_failures(file):
        raise Exit(69, "away")
    assert file.read_text() == "as it was"
    assert sorted(tmp_path.iterdir()) == [file, tmp_path / "file"]

"""Hours of ordinary work, as long as LASTLOGIN_SOAK_MINUTES says (10); half a minute when it is no soak."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.backend import Backend, percentile
from tests.support.scale import scale


SECONDS = scale(60.0 * float(os.environ.get("LASTLOGIN_SOAK_MINUTES", "10")), 30.0)
MIB = 1_048_576


def threads_and_files(pid: int) -> tuple[int, int]:
    """Number of threads and of open files."""
    return len(list(Path(f"/proc/{pid}/task").iterdir())), len(list(Path(f"/proc/{pid}/fd").iterdir()))


@pytest.mark.timeout(SECONDS + 300)
def test_steady_logins(backend: Backend, figures: Callable[[str], None]) -> None:
    """Memory, threads and files are at the end what they were after a tenth of the time, and nothing waits."""
    pid, begun = backend.producer.pid, time.monotonic()
    with backend.load("soak-", threads=4, pause_s=0.008) as load:
        load.wait_until(lambda _: time.monotonic() - begun > SECONDS / 10, SECONDS)
        rss, others = backend.producer.memory_bytes(), threads_and_files(pid)
        load.wait_until(lambda _: time.monotonic() - begun > SECONDS, SECONDS + 10)
        waiting = backend.rows_waiting()
    rate = len(load.acknowledged) / (time.monotonic() - begun)
    backend.drain()
    rss_end, others_end = backend.producer.memory_bytes(), threads_and_files(pid)
    found = backend.finish()
    p50, p99 = (1000 * percentile(load.seconds, share) for share in (0.5, 0.99))
    figures(
        f"{SECONDS:g} s at {rate:.0f} logins/s, ack p50 {p50:.1f} p99 {p99:.1f} ms, {waiting} waited at the end, "
        f"RSS {rss / MIB:.1f} then {rss_end / MIB:.1f} MiB, threads and files {others} then {others_end}; {found}"
    )

    assert found.clean, found
    assert [] == load.other_replies
    assert p99 < 50
    assert waiting < rate
    assert rss_end - rss < 8 * MIB
    assert rss_end < 100 * MIB
    assert others_end[0] <= others[0]
    # Connections of the load are open in between.
    assert others_end[1] <= others[1] + 4

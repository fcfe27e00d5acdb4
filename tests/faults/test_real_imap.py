"""Cases 9 and 53: what Dovecot's own imap processes, and the people at them, notice of faults."""

import signal
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import pytest

from lastlogin_stack.kafka import Kafka
from tests.support.backend import Backend, percentile
from tests.support.imap import ImapLogin, ImapLogins, configuration
from tests.support.polite import freeze, resume
from tests.support.scale import scale


LOGINS = scale(10_000, 900)
CUTS = scale(50, 5)
DEAD_S = 10.0
# About 25 logins a second: what is measured is the login, not how many imap processes start at once.
THREADS, PAUSE_S = 2, 0.065

# Of 100 people 99 wait no longer for the greeting, nor much longer than without last_login where the machine is busy
# with something else.
GREETING_S = 0.05
BUSY = 1.5


def logins(backend: Backend, prefix: str) -> ImapLogins:
    """Imap processes that write to the backend's producer."""
    conf = configuration(backend.directory, backend.producer.socket)
    return ImapLogins(conf, prefix, THREADS, PAUSE_S, backend.ledger)


def without_us(directory: Path) -> ImapLogins:
    """The same processes without last_login, a few a second at the same time: what the machine itself does."""
    return ImapLogins(configuration(directory, None), "without-", 1, 0.2)


def greeting_ms(ended: Iterable[ImapLogin]) -> str:
    """Times to the greeting in words."""
    seconds = [login.greeting_s for login in ended]
    p50, p99 = (1000 * percentile(seconds, share) for share in (0.5, 0.99))
    return f"greeting p50 {p50:.1f} p99 {p99:.1f} max {1000 * max(seconds):.1f} ms"


def waited_too_long(ended: Sequence[ImapLogin], without: Sequence[ImapLogin]) -> str | None:
    """Both times when the greeting came too late."""
    ours, machine = (percentile([login.greeting_s for login in each], 0.99) for each in (ended, without))
    return f"{ours:.3f} s, {machine:.3f} s without last_login" if ours > max(GREETING_S, BUSY * machine) else None


def crashed(ended: Sequence[ImapLogin]) -> list[ImapLogin]:
    """Those that did not end by themselves with 0."""
    return [login for login in ended if login.exit_code != 0]


def wait(seconds: float) -> None:
    """Let a fault last."""
    time.sleep(seconds)


@pytest.mark.timeout(180)
def test_nobody_serves_for_ten_seconds(activated: Backend, figures: Callable[[str], None]) -> None:
    """Kill -9, and no restart for 10 s: people are greeted as ever, and all their logins are stored after it."""
    with without_us(activated.directory) as without, logins(activated, "dead-") as crowd:
        crowd.wait_until(lambda crowd: len(crowd.ended) >= 50)
        activated.producer.kill()
        killed = time.monotonic()
        wait(DEAD_S)
        restarted = time.monotonic()
        activated.producer.start()
        known = crowd.begun
        crowd.wait_until(lambda crowd: crowd.begun >= known + 50)
    meanwhile = [login for login in crowd.ended if killed < login.begun < restarted]
    found = activated.finish()
    figures(
        f"{len(meanwhile)} logins meanwhile, {greeting_ms(meanwhile)}; without last_login "
        f"{greeting_ms(without.ended)}; {found}"
    )

    assert found.clean, found
    assert [] == crashed(crowd.ended)
    assert len(meanwhile) > 100
    assert waited_too_long(meanwhile, without.ended) is None
    assert [] == [login for login in meanwhile if not login.stored]


def test_killed_with_its_socket(backend: Backend, figures: Callable[[str], None]) -> None:
    """Without a listener that outlives it, a frozen and then killed producer cuts off who waits: nobody crashes.

    Such a login is unconfirmed, and may be in Kafka or not. (Whoever connects while nobody listens waits 3 s.)
    """
    producer = backend.producer
    with logins(backend, "cut-") as crowd:
        for _ in range(CUTS):
            known = crowd.begun
            producer.signal(signal.SIGSTOP)
            crowd.wait_until(lambda crowd, known=known: crowd.begun >= known + 20)  # type: ignore[misc]
            producer.kill()
            producer.start()
            stored = len(backend.ledger.account().acked)
            crowd.wait_until(lambda _, stored=stored: len(backend.ledger.account().acked) >= stored + 5)  # type: ignore[misc]
    found = backend.finish()
    cut = [login for login in crowd.ended if any("unconfirmed" in complaint for complaint in login.complaints)]
    figures(f"{len(crowd.ended)} logins, {CUTS} kills, {len(cut)} cut off; {found}")

    assert found.clean, found
    assert [] == crashed(crowd.ended)
    assert len(cut) > 10 * CUTS


@pytest.mark.timeout(scale(1_800, 300))
def test_faults_during_real_logins(activated: Backend, kafka: Kafka, figures: Callable[[str], None]) -> None:
    """10,000 imap logins (here 900) while the producer is frozen and killed, and so is Kafka.

    No process ends by a signal, people are greeted within 50 ms (p99), and nothing acknowledged is lost.
    """
    producer = activated.producer
    rounds = 0
    with without_us(activated.directory) as without, logins(activated, "faults-") as crowd:
        while crowd.begun < LOGINS:
            rounds += 1
            wait(1)
            producer.signal(signal.SIGSTOP)
            wait(5)
            producer.signal(signal.SIGCONT)
            wait(1)
            producer.kill()
            wait(3)
            producer.start()
            wait(2)
            freeze(kafka)
            wait(5)
            resume(kafka)
            wait(1)
            kafka.kill()
            wait(1)
            kafka.start()
            kafka.wait_ready()
    found = activated.finish()
    ended = crowd.ended
    signals = [login for login in ended if login.exit_code < 0]
    unconfirmed = [login for login in ended if not login.stored]
    figures(
        f"{len(ended)} logins, {rounds} rounds of faults, {len(signals)} ended by a signal, {len(unconfirmed)} "
        f"unconfirmed, {greeting_ms(ended)}; without last_login {greeting_ms(without.ended)}; {found}"
    )

    assert found.clean, found
    assert [] == signals
    assert [] == crashed(ended)
    assert len(ended) >= LOGINS
    assert waited_too_long(ended, without.ended) is None

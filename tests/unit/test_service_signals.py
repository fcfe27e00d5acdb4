"""Stopping on a signal, with real signals."""

import asyncio
import os
import signal
import subprocess
import sys

import pytest
import uvloop

from lastlogin_service.signals import hangup_event, stop_event


@pytest.mark.parametrize("loop_factory", [asyncio.new_event_loop, uvloop.new_event_loop])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_first_signal_sets_the_event(loop_factory: object, number: signal.Signals) -> None:
    """The first signal sets the event, on either loop, and the handlers before are put back."""
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)

    async def run() -> bool:
        async with stop_event() as stop:
            assert not stop.is_set()
            os.kill(os.getpid(), number)
            async with asyncio.timeout(10):
                return await stop.wait()

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        assert runner.run(run())

    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


_IGNORES_THE_FIRST = """
import asyncio, sys, time, uvloop
from lastlogin_service.signals import stop_event

async def run():
    async with stop_event() as stop:
        print("ready", flush=True)
        await stop.wait()
        print("asked", flush=True)
        while True:
            {wait}

with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
    runner.run(run())
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
@pytest.mark.parametrize("wait", ["await asyncio.sleep(60)", "time.sleep(0.01)"])
def test_second_signal_ends_at_once(number: signal.Signals, code: int, wait: str) -> None:
    """A second signal ends the process with 128 + its number, even when its event loop hangs."""
    with subprocess.Popen(
        [sys.executable, "-c", _IGNORES_THE_FIRST.format(wait=wait)], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            process.send_signal(number)
            while process.stdout.readline() != "asked\n":
                assert process.poll() is None
            process.send_signal(number)
            assert process.wait(10) == code
        finally:
            process.kill()


@pytest.mark.parametrize("loop_factory", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_each_hangup_sets_the_event(loop_factory: object) -> None:
    """Every SIGHUP counts, on either loop, none ends the process, and the handler before is put back."""
    before = signal.getsignal(signal.SIGHUP)

    async def run() -> None:
        async with hangup_event() as hangup:
            for _ in range(3):
                os.kill(os.getpid(), signal.SIGHUP)
                async with asyncio.timeout(10):
                    await hangup.wait()
                hangup.clear()

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(run())

    assert before == signal.getsignal(signal.SIGHUP)

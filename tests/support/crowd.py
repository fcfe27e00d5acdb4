"""Many clients that do the same thing over and over."""

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Self


class Crowd(ABC):
    """Threads that each do `once` again and again while the `with` block runs, `pause_s` apart."""

    def __init__(self, threads: int, pause_s: float) -> None:
        self.lock = threading.Lock()
        self._pause_s = pause_s
        self._stop = threading.Event()
        self._pool = [threading.Thread(target=self._run, args=(number,)) for number in range(threads)]

    def __enter__(self) -> Self:
        for thread in self._pool:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.end()

    def end(self) -> None:
        """Do it no more; when this returns all threads have ended."""
        self._stop.set()
        for thread in self._pool:
            thread.join()

    @abstractmethod
    def __str__(self) -> str:
        """Say how far it has come."""

    @abstractmethod
    def once(self, thread: int, number: int) -> None:
        """Do it, as the `number`th time of a thread, counted from 1. Results are written under `lock`."""

    def pause(self, seconds: float) -> None:
        """Wait, but not beyond the end."""
        self._stop.wait(seconds)

    def wait_until(self, condition: Callable[[Self], bool], deadline_s: float = 30.0) -> None:
        """Block until the crowd has come so far. Raises TimeoutError."""
        deadline = time.monotonic() + deadline_s
        while not condition(self):
            if time.monotonic() > deadline:
                message = f"{self} within {deadline_s:g} s"
                raise TimeoutError(message)
            self.pause(0.01)

    def _run(self, thread: int) -> None:
        number = 0
        while not self._stop.is_set():
            number += 1
            self.once(thread, number)
            self.pause(self._pause_s)

"""A disk that fails, or that tells what a power loss would leave: the faults of `disk.c`, from the test's side."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple


SOURCE = Path(__file__).with_suffix(".c")


def preloaded(directory: Path, below: Path) -> dict[str, str]:
    """The environment of a process whose disk, below that directory, is watched; builds what it needs."""
    library = directory / "disk.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, SOURCE, "-ldl"], check=True)
    return {**os.environ, "LD_PRELOAD": str(library), "DISK_BELOW": str(below), "PYTHONPATH": os.pathsep.join(sys.path)}


class Event(NamedTuple):
    """One line of the journal: `kind` is W, T, S, U or A."""

    kind: str
    path: str
    at: int
    data: bytes


def journal(path: Path) -> Iterator[Event]:
    """What was written, truncated, synced and acknowledged, in order."""
    content = path.read_bytes()
    start = 0
    while start < len(content):
        end = content.index(b"\n", start)
        kind, *rest = content[start:end].decode().split(" ")
        start = end + 1
        if kind in "SU":
            yield Event(kind, rest[0], 0, b"")
        elif kind == "T":
            yield Event(kind, rest[0], int(rest[1]), b"")
        else:
            length = int(rest[-1])
            yield Event(
                kind, rest[0] if kind == "W" else "", int(rest[1]) if kind == "W" else 0, content[start:][:length]
            )
            start += length


@dataclass
class Disk:
    """What survives a power loss: bytes that were synced, in files whose directory was synced after they came."""

    files: dict[str, bytearray] = field(default_factory=dict)
    durable: dict[str, bytes] = field(default_factory=dict)
    named: set[str] = field(default_factory=set)

    def apply(self, event: Event) -> None:
        """Do what the process did."""
        if event.kind == "W":
            file = self.files.setdefault(event.path, bytearray())
            file.extend(bytes(max(0, event.at - len(file))))
            file[event.at : event.at + len(event.data)] = event.data
        elif event.kind == "T":
            file = self.files.setdefault(event.path, bytearray())
            del file[event.at :]
            file.extend(bytes(event.at - len(file)))
        elif event.kind == "U":
            self.files.pop(event.path, None)
        elif event.path in self.files:
            self.durable[event.path] = bytes(self.files[event.path])
        else:
            self.named = {path for path in self.files if Path(path).parent == Path(event.path)}

    def left(self, directory: Path, also: dict[str, bytes] | None = None) -> None:
        """Write into `directory` what a power loss leaves; `also` are files that made it to the disk unasked."""
        directory.mkdir(mode=0o700)
        durable = {path: content for path, content in self.durable.items() if path in self.named}
        for path, content in {**durable, **(also or {})}.items():
            (directory / Path(path).name).write_bytes(content)

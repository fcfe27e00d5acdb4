"""Who listens on a UNIX socket, found out from /proc: to connect would be to make the server take on a client."""

import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path


# /proc/net/unix: columns of a socket that has a path, and the flags of one that listens (__SO_ACCEPTCON).
_WITH_PATH = 8
_ACCEPTING = "00010000"


def listening_inodes(path: Path) -> dict[str, str]:
    """Inodes of the sockets that listen on `path` (proc_net(5)), each with the name that it was bound to.

    That is `<path>.<process id>` where `Listener` made it.
    """
    lines = Path("/proc/net/unix").read_text(errors="surrogateescape").splitlines()[1:]
    # Num RefCount Protocol Flags Type St Inode Path
    sockets = [line.split(maxsplit=7) for line in lines]
    name = re.compile(re.escape(str(path)) + r"(\.\d+)?")
    return {
        found[6]: found[7]
        for found in sockets
        if len(found) == _WITH_PATH and found[3] == _ACCEPTING and name.fullmatch(found[7]) is not None
    }


def holder(inodes: Iterable[str]) -> int | None:
    """Process that has one of these sockets open, the service manager before others; None: none that we may look at."""
    links = {f"socket:[{inode}]" for inode in inodes}
    processes = sorted(int(each.name) for each in Path("/proc").iterdir() if each.name.isdecimal())
    for process in processes:
        with suppress(OSError):
            for descriptor in Path(f"/proc/{process}/fd").iterdir():
                with suppress(OSError):
                    if str(descriptor.readlink()) in links:
                        return process
    return None

"""Servers of a command's own, beside those of `make demo`: it may kill them, and removes them with their data."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from lastlogin_stack.commands import SERVERS, running_servers, start_pipeline, stop_servers, wipe
from lastlogin_stack.dovecot import Dovecot, DovecotOptions, MailUser
from lastlogin_stack.layout import DIRECTORY_VARIABLE, PORT_VARIABLE, Layout, default_directory, layout_from


UNDONE = "its servers are stopped, and their data removed"


def own_layout(environ: Mapping[str, str], name: str, base_port: int) -> Layout:
    """Return a directory of its own, also where the environment names another one, and ports unless it names others."""
    found = layout_from({PORT_VARIABLE: str(base_port)} | dict(environ))
    directory = Path(environ[DIRECTORY_VARIABLE]) / name if environ.get(DIRECTORY_VARIABLE) else None
    return Layout((directory or default_directory(name)).absolute(), found.base_port)


@contextmanager
def own_servers(layout: Layout, users: Sequence[str]) -> Iterator[None]:
    """Start everything, empty; remove it all afterwards."""
    _remove(layout, "left by a run that was interrupted")
    try:
        start_pipeline(layout, [name for name in SERVERS if name != Dovecot.name])
        # Their rows have addresses.
        known = tuple(MailUser(user, "last-login/%s/%u/%r") for user in users)
        dovecot = Dovecot(layout, DovecotOptions(users=known))
        dovecot.start()
        print(f"dovecot    ready in {dovecot.wait_ready():.1f} s on {dovecot.endpoint}\n", flush=True)
        yield
    finally:
        _remove(layout, "done with it")


def _remove(layout: Layout, why: str) -> None:
    if running_servers(layout):
        stop_servers(layout)
    if layout.own_paths():
        print(f"{why}: ", end="")
        wipe(layout)

"""A Dovecot of a test's own, which the servers of the run do not notice."""

from collections.abc import Iterator
from contextlib import contextmanager

from lastlogin_stack.commands import wipe
from lastlogin_stack.dovecot import Dovecot, DovecotOptions
from lastlogin_stack.layout import Layout


@contextmanager
def own_dovecot(layout: Layout, options: DovecotOptions | None = None) -> Iterator[Dovecot]:
    """Run one beside those of `layout`; whoever wants its logins listens at its own `layout.dict_socket`."""
    # No server of a stack has a port next to Dovecot's.
    own = Layout(layout.directory.with_name(f"{layout.directory.name}-dict"), layout.base_port + 1)
    own.check()
    own.create()
    server = Dovecot(own, options)
    server.start()
    try:
        server.wait_ready()
        yield server
    finally:
        server.stop()
    wipe(own)

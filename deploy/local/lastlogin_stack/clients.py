"""Real mail clients from the standard library, each bound to a source address of its own on loopback.

A proxy's clients are `on_behalf_of` another address, which Dovecot believes when it trusts the proxy's.
"""

import imaplib
import poplib
import smtplib
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from email.utils import quote
from typing import Any

from lastlogin_stack.layout import LOOPBACK, LOOPBACK_IPV6, Layout


# Dovecot answers in milliseconds; only a write to a dict that never answers takes longer, up to 30 s.
TIMEOUT_S = 40.0
DEFAULT_SOURCE = "127.0.0.21"


class _Imap(imaplib.IMAP4):
    """imaplib has no argument for the source address; this is where it connects."""

    def __init__(self, port: int, source: str) -> None:
        self._source = source
        super().__init__(_server_for(source), port, TIMEOUT_S)

    def logout(self) -> tuple[str, list[Any]]:
        """Log out. Raises `abort` when the server has closed the connection."""
        try:
            return super().logout()
        except self.abort:
            # imaplib would leave the socket open.
            self.shutdown()
            raise

    def _create_socket(self, timeout: float | None) -> socket.socket:
        return socket.create_connection((self.host, self.port), timeout, (self._source, 0))


class _Pop3(poplib.POP3):
    """As for IMAP."""

    def __init__(self, port: int, source: str) -> None:
        self._source = source
        super().__init__(_server_for(source), port, TIMEOUT_S)

    def _create_socket(self, timeout: float | None) -> socket.socket:
        return socket.create_connection((self.host, self.port), timeout, (self._source, 0))

    def on_behalf_of(self, address: str) -> None:
        """Tell the address of a proxy's client. Raises `poplib.error_proto` when the proxy is not trusted."""
        self.sock.sendall(f"XCLIENT ADDR={address}\r\n".encode())
        reply = self.file.readline()
        if not reply.startswith(b"+OK"):
            raise poplib.error_proto(reply)


@contextmanager
def imap_session(
    layout: Layout, user: str, source: str = DEFAULT_SOURCE, *, on_behalf_of: str | None = None
) -> Iterator[None]:
    """Log in over IMAP as a user of the users file, and out after the `with` block.

    Raises `imaplib.IMAP4.error` or OSError.
    """
    with _Imap(layout.imap_port, source) as client:
        if on_behalf_of is not None:
            client.xatom("ID", f'("x-originating-ip" "{on_behalf_of}")')
        # PLAIN instead of LOGIN: it carries every user name, in UTF-8 (RFC 4616).
        client.authenticate("PLAIN", lambda _: b"\0%b\0%b" % (user.encode(), user.encode()))
        yield


def imap_login(layout: Layout, user: str, source: str = DEFAULT_SOURCE, *, on_behalf_of: str | None = None) -> None:
    """Log in over IMAP as a user of the users file, and out at once. Raises as `imap_session`."""
    with imap_session(layout, user, source, on_behalf_of=on_behalf_of):
        pass


def pop3_login(layout: Layout, user: str, source: str = DEFAULT_SOURCE, *, on_behalf_of: str | None = None) -> None:
    """Log in over POP3 as a user of the users file, and out. Raises `poplib.error_proto` or OSError."""
    client = _Pop3(layout.pop3_port, source)
    try:
        if on_behalf_of is not None:
            client.on_behalf_of(on_behalf_of)
        client.user(user)
        client.pass_(user)
        client.quit()
    finally:
        client.close()


def lmtp_deliver(
    layout: Layout, sender: str, *recipients: str, source: str = DEFAULT_SOURCE, on_behalf_of: str | None = None
) -> None:
    """Deliver one small message over LMTP. Raises `smtplib.SMTPException` (not accepted) or OSError.

    smtplib knows of one recipient a message only; LMTP replies once for each of them (RFC 2033).
    """
    message = EmailMessage()
    message["From"], message["Subject"] = sender, "A delivery"
    message.set_content("Delivered to see the time of the last delivery.")
    with smtplib.LMTP(_server_for(source), layout.lmtp_port, "localhost", (source, 0), TIMEOUT_S) as client:
        client.ehlo()
        if on_behalf_of is not None:
            kind = "IPV6:" if ":" in on_behalf_of else ""
            _accepted(client.docmd("XCLIENT", f"ADDR={kind}{on_behalf_of}"))
            client.ehlo()
        _accepted(client.docmd("MAIL", f"FROM:<{sender}>"))
        for recipient in recipients:
            _accepted(client.docmd("RCPT", f"TO:<{_path(recipient)}>"))
        replies = [client.data(message.as_bytes()), *(client.getreply() for _ in recipients[1:])]
        for reply in replies:
            _accepted(reply)


def _server_for(source: str) -> str:
    return LOOPBACK_IPV6 if ":" in source else LOOPBACK


def _path(recipient: str) -> str:
    """Return an address in which the local part, quoted, may hold blanks and slashes (RFC 5321)."""
    local, at, domain = recipient.rpartition("@") if "@" in recipient else (recipient, "", "")
    return f'"{quote(local)}"{at}{domain}'


def _accepted(reply: tuple[int, bytes]) -> None:
    code, text = reply
    if not 200 <= code < 300:  # noqa: PLR2004 - the positive replies
        raise smtplib.SMTPResponseException(code, text)

"""Real mail clients from the standard library, each bound to a source address of its own on loopback."""

import imaplib
import poplib
import smtplib
import socket
from email.message import EmailMessage

from lastlogin_stack.layout import LOOPBACK, Layout


# Dovecot answers in milliseconds; only a write to a dict that never answers takes longer, up to 30 s.
TIMEOUT_S = 40.0
DEFAULT_SOURCE = "127.0.0.21"


class _Imap(imaplib.IMAP4):
    """imaplib has no argument for the source address; this is where it connects."""

    def __init__(self, port: int, source: str) -> None:
        self._source = source
        super().__init__(LOOPBACK, port, TIMEOUT_S)

    def _create_socket(self, timeout: float | None) -> socket.socket:
        return socket.create_connection((self.host, self.port), timeout, (self._source, 0))


class _Pop3(poplib.POP3):
    """As for IMAP."""

    def __init__(self, port: int, source: str) -> None:
        self._source = source
        super().__init__(LOOPBACK, port, TIMEOUT_S)

    def _create_socket(self, timeout: float | None) -> socket.socket:
        return socket.create_connection((self.host, self.port), timeout, (self._source, 0))


def imap_login(layout: Layout, user: str, source: str = DEFAULT_SOURCE) -> None:
    """Log in over IMAP as a user of the users file, and out. Raises `imaplib.IMAP4.error` or OSError."""
    with _Imap(layout.imap_port, source) as client:
        # PLAIN instead of LOGIN: it carries every user name, in UTF-8 (RFC 4616).
        client.authenticate("PLAIN", lambda _: b"\0%b\0%b" % (user.encode(), user.encode()))


def pop3_login(layout: Layout, user: str, source: str = DEFAULT_SOURCE) -> None:
    """Log in over POP3 as a user of the users file, and out. Raises `poplib.error_proto` or OSError."""
    client = _Pop3(layout.pop3_port, source)
    try:
        client.user(user)
        client.pass_(user)
        client.quit()
    finally:
        client.close()


def lmtp_deliver(layout: Layout, sender: str, recipient: str, source: str = DEFAULT_SOURCE) -> None:
    """Deliver one small message over LMTP. Raises `smtplib.SMTPException` (not accepted) or OSError."""
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = sender, recipient, "A delivery"
    message.set_content("Delivered to see the time of the last delivery.")
    with smtplib.LMTP(LOOPBACK, layout.lmtp_port, "localhost", (source, 0), TIMEOUT_S) as client:
        client.sendmail(sender, [recipient], message.as_bytes())

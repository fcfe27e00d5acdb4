"""A Dovecot whose users have names that are hard to bear, and mail clients that use their mailboxes.

Every test with `ODD` finds Dovecot running as the last one left it: its start takes more than a second.
"""

import socket
from collections.abc import Callable
from dataclasses import dataclass

from lastlogin_stack.clients import imap_login, lmtp_deliver, pop3_login
from lastlogin_stack.dovecot import WEBMAIL_ADDRESS, DovecotOptions, MailUser
from lastlogin_stack.layout import LOOPBACK_IPV6, Layout
from tests.support.uses import Use


_PROXY = "127.0.0.41"

# By what is special about it. Each is another user, and many are the beginning of another.
ODD_NAMES = {
    "prefix": "a",
    "slash": "a/b",
    "slash-domain": "a/b@example.org",
    "slash-address": "a/192.0.2.1",
    "slashes": "a//b/",
    "blank": "a b@example.org",
    "blank-after": "a ",
    "blanks-around": " a @example.org",
    "umlauts": "jörg@exämple.org",
    "capital-umlaut": "jÖrg@exämple.org",
    "composed": "\u00e9@example.org",
    "decomposed": "e\u0301@example.org",
    "chinese": "用户@例子.广告",
    "emoji": "😀@example.org",
    "200-characters": "x" * 188 + "@example.org",
    "199-characters": "x" * 188 + "@example.or",
    "200-umlauts": "ü" * 188 + "@example.org",
    "percent": "%u@example.org",
    "dots": "..",
    "sql": "o'; drop table dovecot_stats; --@example.org",
    "double-quote": '"a"@example.org',
    "backslash": "a\\b@example.org",
    "variable": "$user",
    "two-ats": "a@b@example.org",
    "option": "--cql",
}


def _has_ipv6() -> bool:
    """Whether this machine has ::1."""
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind((LOOPBACK_IPV6, 0))
    except OSError:
        return False
    return True


# Keys have the client's address, except those for clients at the webmail host.
ODD = DovecotOptions(
    users=tuple(MailUser(name) for name in ODD_NAMES.values()),
    key="last-login/%s/%u/%r",
    webmail_key="last-login/%s/%u",
    ipv6=_has_ipv6(),
    trusted_networks=_PROXY,
)


@dataclass(frozen=True, slots=True)
class Client:
    """Where a mail client is: as Dovecot writes it into the key (None: a key without address), and as it is recorded.

    `on_behalf_of` is what a proxy at `source` says of where its own client is.
    """

    source: str
    in_key: str | None
    address: str | None
    on_behalf_of: str | None = None


CLIENT = Client("127.0.0.21", "127.0.0.21", "127.0.0.21")
# One for each kind of address that this machine's loopback has.
DIRECT = [CLIENT, Client(LOOPBACK_IPV6, LOOPBACK_IPV6, LOOPBACK_IPV6)] if ODD.ipv6 else [CLIENT]
WITHOUT_ADDRESS = Client(WEBMAIL_ADDRESS, None, None)


def through_proxy(on_behalf_of: str, in_key: str, address: str) -> Client:
    """Return a client that comes through the proxy."""
    return Client(_PROXY, in_key, address, on_behalf_of)


def odd_uses(layout: Layout, user: str, client: Client = CLIENT) -> list[Use]:
    """Logins by IMAP and POP3, and a delivery where LMTP has a way to name the user, at a Dovecot that is `ODD`."""
    end = user if client.in_key is None else f"{user}/{client.in_key}"

    def use(service: str, act: Callable[[], None]) -> Use:
        return Use(user, service, act, f"last-login/{service}/{end}", client.address)

    source, told = client.source, client.on_behalf_of
    uses = [
        use("imap", lambda: imap_login(layout, user, source, on_behalf_of=told)),
        use("pop3", lambda: pop3_login(layout, user, source, on_behalf_of=told)),
    ]
    # Dovecot 2.3 takes no other alphabets over LMTP, and no second @ even in quotes.
    if user.isascii() and user.count("@") <= 1:
        sender = "sender@example.org"
        uses.append(use("lmtp", lambda: lmtp_deliver(layout, sender, user, source=source, on_behalf_of=told)))
    return uses

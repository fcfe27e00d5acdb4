"""Dovecot 2.3 from the distribution, with a configuration and a directory of its own."""

import grp
import imaplib
import os
import poplib
import pwd
import smtplib
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from lastlogin_stack.errors import StackError
from lastlogin_stack.layout import (
    DIRECTORY_VARIABLE,
    LOOPBACK,
    LOOPBACK_IPV6,
    Layout,
    make_open_directory,
    private_parent,
)
from lastlogin_stack.server import PROBE_TIMEOUT_S, Server, find_program


# Owns the mail when Dovecot runs as root. A plain number is enough, no such user has to exist.
MAIL_UID = 5000
# Where webmail's own host would connect from: its logins are told apart by their source address.
WEBMAIL_ADDRESS = "127.0.0.31"
# Dovecot escapes these in a name before it looks for it in a passwd-file (str_escape).
_ESCAPED = str.maketrans({character: "\\" + character for character in "'\"\\"})


@dataclass(frozen=True, slots=True)
class MailUser:
    """One line of the users file; the password is the user name, `key` the user's own last_login_key if any.

    In lower case: Dovecot takes A to Z of what a client sends as a to z (auth_username_format). Without control
    characters and `:`, and without a first `#`: the file, or a password, cannot hold them. A name with `%` cannot
    have a key of its own: Dovecot would expand the name once more.
    """

    name: str
    key: str | None = None


def _manual_users() -> tuple[MailUser, ...]:
    """Return test1 to test9; test4 to test6 keep the client's address, as in the manual's examples 9.4."""
    return tuple(MailUser(f"test{n}", "last-login/%s/%u/%r" if n in {4, 5, 6} else None) for n in range(1, 10))


@dataclass(frozen=True, slots=True)
class DovecotOptions:
    """What tests vary in Dovecot's configuration; the defaults are the manual's."""

    users: tuple[MailUser, ...] = field(default_factory=_manual_users)
    key: str = "last-login/%s/%u"
    precision: str = "ms"
    # None: no rule for webmail. A user's own key wins over this one.
    webmail_key: str | None = "last-login/webmail/%u/%r"
    # Whether to listen on ::1 besides 127.0.0.1; a machine without IPv6 has no ::1.
    ipv6: bool = False
    # Networks of proxies, with blanks between: their word is taken for the address of their clients.
    trusted_networks: str = ""


@dataclass(frozen=True, slots=True)
class Account:
    """Whom Dovecot runs as, and the owner of the mail; root (`names` is None) switches to Dovecot's own users."""

    names: tuple[str, str] | None  # of user and group: Dovecot takes no numbers for its own processes
    uid: int
    gid: int


def current_account() -> Account:
    """Return the account of this process. Raises `StackError` when its uid or gid has no name."""
    uid, gid = os.geteuid(), os.getegid()
    if uid == 0:
        return Account(None, MAIL_UID, MAIL_UID)
    try:
        return Account((pwd.getpwuid(uid).pw_name, grp.getgrgid(gid).gr_name), uid, gid)
    except KeyError:
        raise StackError(f"dovecot: uid {uid} or gid {gid} has no name on this system; Dovecot needs both") from None


def render_users(options: DovecotOptions) -> str:
    """Return the users file (passwd-file). All the colons are needed: with fewer a user has no userdb entry."""
    return "".join(
        f"{user.name.translate(_ESCAPED)}:{{PLAIN}}{user.name}::::::"
        f"{f'userdb_last_login_key={user.key}' if user.key else ''}\n"
        for user in options.users
    )


def render_configuration(layout: Layout, options: DovecotOptions, account: Account) -> str:
    """Return dovecot.conf in the syntax of 2.3, complete: nothing of the system's configuration is read."""
    home = layout.server_directory("dovecot")
    addresses = f"{LOOPBACK} {LOOPBACK_IPV6}" if options.ipv6 else LOOPBACK
    # User names with a slash, a blank or other alphabets are no directory names, their hashes are.
    lines = f"""\
base_dir = {home}/run
state_dir = {home}/state
log_path = {layout.log_file("dovecot")}
protocols = imap pop3 lmtp
login_trusted_networks = {options.trusted_networks}
ssl = no
disable_plaintext_auth = no
# Empty allows every character in a user name.
auth_username_chars =
mail_location = maildir:{home}/mail/%{{sha1:user}}
mail_uid = {account.uid}
mail_gid = {account.gid}
first_valid_uid = 1
first_valid_gid = 1
passdb {{
  driver = passwd-file
  args = {home}/users
}}
userdb {{
  driver = passwd-file
  args = username_format=%u {home}/users
}}
plugin {{
  last_login_dict = proxy:{layout.dict_socket}:statsdb
  last_login_key = {options.key}
  last_login_precision = {options.precision}
}}
"""
    for protocol in ("imap", "pop3", "lmtp"):
        lines += f"protocol {protocol} {{\n  mail_plugins = $mail_plugins last_login\n}}\n"
    chroot = "" if account.names is None else "  chroot =\n"
    for protocol, port in (("imap", layout.imap_port), ("pop3", layout.pop3_port)):
        lines += f"""\
service {protocol}-login {{
{chroot}\
  inet_listener {protocol} {{
    address = {addresses}
    port = {port}
  }}
  inet_listener {protocol}s {{
    port = 0
  }}
}}
"""
    lines += f"""\
service lmtp {{
  inet_listener lmtp {{
    address = {addresses}
    port = {layout.lmtp_port}
  }}
}}
"""
    if account.names is not None:
        user, group = account.names
        lines += f"""\
# Only root may switch users, change the root directory, or raise limits.
default_internal_user = {user}
default_internal_group = {group}
default_login_user = {user}
default_vsz_limit = 0
service anvil {{
  chroot =
}}
"""
    if options.webmail_key is not None:
        lines += f"""\
remote {WEBMAIL_ADDRESS} {{
  plugin {{
    last_login_key = {options.webmail_key}
  }}
}}
"""
    return lines


class Dovecot(Server):
    """IMAP, POP3 and LMTP on 127.0.0.1, writing each last login to `layout.dict_socket`.

    As root it switches to Dovecot's own users, who must be able to enter the stack's directory; as an ordinary
    user everything runs as that user. New options take effect with the next start.
    """

    name = "dovecot"
    start_deadline_s = 30.0

    def __init__(self, layout: Layout, options: DovecotOptions | None = None) -> None:
        super().__init__(layout)
        self.options = options or DovecotOptions()

    @property
    def ports(self) -> tuple[int, ...]:
        """The IMAP, POP3 and LMTP ports."""
        return (self.layout.imap_port, self.layout.pop3_port, self.layout.lmtp_port)

    @property
    def endpoint(self) -> str:
        """Where its clients find it."""
        return f"{LOOPBACK}: imap {self.layout.imap_port}, pop3 {self.layout.pop3_port}, lmtp {self.layout.lmtp_port}"

    def prepare(self) -> None:
        """Write dovecot.conf and the users file; make the mail directory for its owner."""
        account = current_account()
        if account.names is None:
            _check_traversable(self.directory)
        for name in ("run", "state", "mail"):
            make_open_directory(self.directory / name)
        if account.names is None:
            os.chown(self.directory / "mail", account.uid, account.gid)
        for name, text in (
            ("users", render_users(self.options)),
            ("dovecot.conf", render_configuration(self.layout, self.options, account)),
        ):
            path = self.directory / name
            path.write_text(text, encoding="utf-8")
            path.chmod(0o644)  # read by Dovecot's users; the passwords are the user names

    def command(self) -> list[str]:
        """Return the master process's command, in the foreground."""
        return [find_program("dovecot", "/usr/sbin/dovecot"), "-F", "-c", str(self.directory / "dovecot.conf")]

    def reload(self) -> None:
        """Make it read its configuration anew; connections that are open stay. Raises `StackError`."""
        command = [find_program("doveadm"), "-c", str(self.directory / "dovecot.conf"), "reload"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise StackError(f"dovecot: `doveadm reload` failed: {done.stderr.strip()}")

    def probe(self) -> None:
        """Wait for the greetings of all three protocols."""
        imaplib.IMAP4(LOOPBACK, self.layout.imap_port, PROBE_TIMEOUT_S).logout()
        poplib.POP3(LOOPBACK, self.layout.pop3_port, PROBE_TIMEOUT_S).quit()
        smtplib.LMTP(LOOPBACK, self.layout.lmtp_port, timeout=PROBE_TIMEOUT_S).quit()


def _check_traversable(directory: Path) -> None:
    if (path := private_parent(directory)) is not None:
        raise StackError(
            f"dovecot: its users cannot enter {path}; choose a directory that everybody may enter, for example "
            f"{DIRECTORY_VARIABLE}=/var/tmp/lastlogin-stack"
        )

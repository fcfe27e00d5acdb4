"""What of this host the doctor looks at first: the configuration, and the socket that Dovecot connects to."""

import os
import stat
from collections.abc import Iterator

from lastlogin_producer.doctor.access import Identity, obstacle
from lastlogin_producer.listener import Listener, SocketFile
from lastlogin_producer.offline import runs
from lastlogin_producer.rule_settings import without_column
from lastlogin_producer.settings import ProducerSettings, SocketSettings
from lastlogin_producer.unix_sockets import listening_inodes
from lastlogin_service.doctor.report import Line, error, ok, warning
from lastlogin_service.exits import Exit
from lastlogin_service.subcommand import Source


def configuration(source: Source[ProducerSettings]) -> tuple[ProducerSettings | None, list[Line]]:
    """Load the settings; None when they are not good, and a line for each problem."""
    check = "configuration"
    try:
        settings = source.load()
    except Exit as end:
        do = "mend it; deploy/producer.toml shows every setting"
        return None, [error(check, line, do) for line in end.message.splitlines()]
    lines = [warning(check, sentence, "take those rights away") for sentence in source.warnings(settings)]
    do = "mend it, unless only subscribers of the topic are to have them"
    lines += [warning(check, sentence, do) for sentence in without_column(settings.dicts, settings.rules)]
    return settings, [*(lines or [ok(check, str(source.file or "environment"))]), _backend(settings)]


def _backend(settings: ProducerSettings) -> Line:
    if settings.backend.partition(".")[0] in {"localhost", "ip6-localhost"}:
        return error(
            "backend",
            f"{settings.backend} is every host's own name, so that backends cannot be told apart in Kafka",
            'give this host a name, or set backend = "mail1.example.org"',
        )
    return ok("backend", settings.backend)


def listening(settings: ProducerSettings) -> Line:
    """Who listens on the socket; told by the kernel's list, nobody is connected to."""
    check = "socket.listening"
    path = settings.socket.path
    running = runs(settings)
    listened_to = bool(listening_inodes(path))
    if listened_to and running:
        return ok(check, f"{path}: our producer")
    if listened_to and not os.access(settings.spool.directory, os.X_OK):
        do = "ask the doctor as root or as the producer's user"
        return warning(check, f"{path}: is listened to; whether by our producer cannot be seen", do)
    if listened_to:
        do = f"start the producer; if something else listens there, see `ss -xlp src {path}`"
        return error(check, f"{path}: is listened to, and no producer has {settings.spool.directory}", do)
    if running:
        found = f"{path}: nobody listens, and a producer runs on {settings.spool.directory}"
        return error(check, found, "give that producer and the doctor the same settings, or start the producer again")
    return _unserved(settings.socket)


def _unserved(settings: SocketSettings) -> Line:
    """What it means that nobody listens."""
    check = "socket.listening"
    path = settings.path
    try:
        if path.is_socket():
            # Dovecot's client takes a refused connection for a server that is about to start.
            found = f"{path}: nobody listens, but the file is there: each login waits 3 s, and is not recorded"
            return error(check, found, "start the producer, or remove the file: without it no login waits")
        # What would keep one from listening there.
        Listener(SocketFile.of(settings)).check()
    except Exit as end:
        found, _, do = end.message.partition("; ")
        return error(check, found, do or "mend it, then start the producer")
    except OSError as why:
        return warning(check, f"{path}: {why.strerror}", "ask the doctor as root or as the producer's user")
    return error(check, f"{path}: is not there; logins do not wait, and are not recorded", "start the producer")


def rights(settings: SocketSettings, mail: Identity | None) -> Iterator[Line]:
    """Whether Dovecot's processes may connect; `mail` None: not known whom they run as."""
    check = "socket.rights"
    path = settings.path
    try:
        status = path.stat()
    except FileNotFoundError:
        # Else socket.listening tells of it; a producer whose file was removed listens on, and makes it again.
        if listening_inodes(path):
            do = "the producer makes it again within seconds; where systemd made it: restart lastlogin-producer.socket"
            yield error(check, f"{path}: the file is gone; logins do not wait, and are not recorded", do)
        return
    except OSError as why:
        yield error(check, f"{path}: {why.strerror}", "let this user enter its directory, or ask the doctor as root")
        return
    shown = f"mode {stat.S_IMODE(status.st_mode):04o}, uid {status.st_uid}, gid {status.st_gid}"
    if mail is None:
        yield ok(check, f"{path}: {shown}; whom Dovecot's mail processes run as is not known here")
        return
    try:
        found = obstacle(path, mail)
    except OSError as why:
        yield warning(check, f"{path}: {why.strerror}", "ask the doctor as root")
        return
    if found is None and mail.uid not in (settings.allowed_uids or {mail.uid}):
        found = f"{path}: Dovecot's mail processes ({mail}) are turned away: their user is not in socket.allowed_users"
        yield error(check, found, "add it there, and start the producer again")
    elif found is None:
        yield ok(check, f"{path}: {shown}; Dovecot's mail processes ({mail}) may connect")
    else:
        do = "set socket.group to a group of theirs and socket.mode to 0660, and let them enter the directory"
        yield error(check, f"Dovecot's mail processes ({mail}) cannot connect: they {found}", do)

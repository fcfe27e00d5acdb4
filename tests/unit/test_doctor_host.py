"""What the doctor says of the socket when there is no producer."""

import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from lastlogin_producer.doctor import host
from lastlogin_producer.doctor.access import Identity
from lastlogin_producer.settings import ProducerSettings
from lastlogin_service.settings import load


@pytest.fixture
def settings() -> Iterator[ProducerSettings]:
    """A socket without a file, in a directory that everybody may enter; no producer has the spool."""
    with TemporaryDirectory() as name:
        Path(name).chmod(0o711)
        variables = {
            "SOCKET__PATH": f"{name}/dict.sock",
            "SPOOL__DIRECTORY": f"{name}/spool",
            "KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:9",
        }
        yield load(ProducerSettings, None, {f"LASTLOGIN_PRODUCER_{key}": value for key, value in variables.items()})


def test_no_socket_file(settings: ProducerSettings) -> None:
    """One line says that no login waits; the rights of what is not there are not looked at."""
    line = host.listening(settings)

    assert ("error", "start the producer") == (line.level, line.do)
    assert line.found.endswith("is not there; logins do not wait, and are not recorded")
    assert [] == list(host.rights(settings.socket, Identity(5000, 5000)))


@pytest.mark.parametrize(("uid", "level", "found"), [(5000, "ok", "may connect"), (5001, "error", "are turned away")])
def test_allowed_users(settings: ProducerSettings, uid: int, level: str, found: str) -> None:
    """Whom modes let in the producer may turn away."""
    settings.socket.path.touch()
    settings.socket.path.chmod(0o666)
    only = settings.socket.model_copy(update={"allowed_users": ["5000"]})
    [line] = host.rights(only, Identity(uid, uid))

    assert (level, True) == (line.level, found in line.found)


def test_a_socket_file_that_was_left(settings: ProducerSettings) -> None:
    """A file without a listener holds logins up, and both ways out are told."""
    with closing(socket.socket(socket.AF_UNIX)) as left:
        left.bind(str(settings.socket.path))
    line = host.listening(settings)

    assert "error" == line.level
    assert "the file is there: each login waits 3 s, and is not recorded" in line.found
    assert "start the producer, or remove the file" in line.do


def test_a_socket_file_that_was_removed(settings: ProducerSettings) -> None:
    """Somebody listens, and no Dovecot finds them."""
    with closing(socket.socket(socket.AF_UNIX)) as listening:
        listening.bind(str(settings.socket.path))
        listening.listen()
        settings.socket.path.unlink()
        [line] = host.rights(settings.socket, None)

    assert ("error", True) == (
        line.level,
        line.found.endswith("the file is gone; logins do not wait, and are not recorded"),
    )

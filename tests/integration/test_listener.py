"""The socket file: made with its rights, replaced when stale, and never taken from somebody else."""

import os
import socket
from pathlib import Path
from typing import Any

import pytest

from lastlogin_producer.listener import Listener, SocketFile
from lastlogin_service.exits import CONFIG, TEMPFAIL, Exit


def test_a_stale_socket_is_replaced(tmp_path: Path) -> None:
    """The file that a killed server left behind is no obstacle."""
    path = tmp_path / "dict.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    listener = Listener(SocketFile(path))

    with listener.open(), socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
    listener.remove()
    assert not path.exists()


def test_somebody_elses_file_is_left_alone(tmp_path: Path) -> None:
    """A file that is no socket is not removed; nor is a socket that has taken the place of ours."""
    path = tmp_path / "dict.sock"
    path.write_text("precious")
    with pytest.raises(Exit, match="is not a socket") as caught:
        Listener(SocketFile(path)).open()
    assert CONFIG == caught.value.code
    path.unlink()

    listener = Listener(SocketFile(path))
    with listener.open():
        path.rename(tmp_path / "ours")
        path.write_text("another's")
        listener.remove()
    assert "another's" == path.read_text()


def test_a_directory_that_is_missing(tmp_path: Path) -> None:
    """A path that cannot be used is a sentence, with what to look at."""
    with pytest.raises(Exit, match="its directory must exist"):
        Listener(SocketFile(tmp_path / "missing" / "dict.sock")).open()


def test_an_owner_that_does_not_exist(tmp_path: Path) -> None:
    """An unknown owner is a sentence, and no socket is left behind."""
    path = tmp_path / "dict.sock"
    with pytest.raises(Exit, match=r"not known to this system: .*nobody-of-that-name") as caught:
        Listener(SocketFile(path, owner="nobody-of-that-name")).open()

    assert CONFIG == caught.value.code
    assert not path.exists()


def test_a_server_with_a_full_backlog_is_alive(tmp_path: Path) -> None:
    """A socket whose server is too busy to take us is not taken for a stale one."""
    path = tmp_path / "dict.sock"
    with socket.socket(socket.AF_UNIX) as busy, socket.socket(socket.AF_UNIX) as waiting:
        busy.bind(str(path))
        busy.listen(0)
        waiting.connect(str(path))
        with pytest.raises(Exit, match="another server listens there") as caught:
            Listener(SocketFile(path)).open()

    assert TEMPFAIL == caught.value.code
    assert path.exists()


def test_the_file_appears_when_it_can_be_connected_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under its name the file has its rights and is listened to from its first moment: nobody is ever refused."""
    path = tmp_path / "dict.sock"
    seen: list[tuple[str, bool]] = []
    for step in ("bind", "listen"):

        def look(self: socket.socket, *arguments: Any, step: str = step) -> None:
            getattr(super(type(self), self), step)(*arguments)
            seen.append((step, path.exists()))

        monkeypatch.setattr(socket.socket, step, look, raising=False)
    chown = os.chown
    monkeypatch.setattr(os, "chown", lambda *arguments: (seen.append(("chown", path.exists())), chown(*arguments)))
    listener = Listener(SocketFile(path))
    with listener.open():
        assert [("bind", False), ("chown", False), ("listen", False)] == seen
        assert [path] == list(tmp_path.iterdir())
        assert listener.in_place
    listener.remove()


def test_a_server_that_comes_at_the_same_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever made the file between our look and our turn keeps it."""
    path = tmp_path / "dict.sock"
    other = socket.socket(socket.AF_UNIX)
    listen = socket.socket.listen

    def slow(self: socket.socket, backlog: int) -> None:
        listen(self, backlog)
        if not path.exists():
            other.bind(str(path))

    monkeypatch.setattr(socket.socket, "listen", slow, raising=False)
    with other, pytest.raises(Exit, match="another server has just begun") as caught:
        Listener(SocketFile(path)).open()

    assert TEMPFAIL == caught.value.code
    assert [path] == list(tmp_path.iterdir())


def test_the_umask_is_put_back(tmp_path: Path) -> None:
    """Only the socket's own file is made under its mask."""
    before = os.umask(0o027)
    try:
        listener = Listener(SocketFile(tmp_path / "dict.sock", mode=0o666))
        with listener.open():
            assert 0o666 == (tmp_path / "dict.sock").stat().st_mode & 0o777
        listener.remove()
        assert 0o027 == os.umask(0o027)
    finally:
        os.umask(before)

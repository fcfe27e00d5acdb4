"""Where a stack lives, and which places are refused."""

import tempfile
from pathlib import Path

import pytest

from lastlogin_stack.cassandra import RING
from lastlogin_stack.errors import CONFIG, StackError
from lastlogin_stack.kafka import CLUSTER
from lastlogin_stack.layout import Layout, default_directory, layout_from, private_parent


def _ports(layout: Layout) -> set[int]:
    return {
        layout.kafka_port,
        layout.kafka_controller_port,
        layout.cassandra_port,
        layout.cassandra_storage_port,
        layout.cassandra_jmx_port,
        layout.imap_port,
        layout.pop3_port,
        layout.lmtp_port,
        layout.producer_metrics_port,
        layout.consumer_metrics_port,
        layout.prometheus_port,
        *(layout.cluster_port(node) for node in CLUSTER),
        *(layout.cluster_controller_port(node) for node in CLUSTER),
        layout.ring_port,
        layout.ring_storage_port,
        *(layout.ring_jmx_port(node) for node in RING),
    }


def test_ports_of_two_stacks() -> None:
    """Stacks whose base ports are 100 apart share no port, and within one all ports differ."""
    one, other = _ports(Layout(Path("/a"), 19000)), _ports(Layout(Path("/b"), 19100))

    assert 22 == len(one)
    assert set() == one & other


def test_defaults() -> None:
    """Without variables the stack is at its default place, from port 19000 on."""
    layout = layout_from({})

    assert Layout(default_directory(), 19000) == layout
    assert "127.0.0.1:19092" == layout.kafka_bootstrap


def test_a_private_directory_is_found() -> None:
    """Of a path, the part that Dovecot's users cannot enter is told, also when what follows is not there yet."""
    with tempfile.TemporaryDirectory() as private:
        assert Path(private) == private_parent(Path(private) / "clone" / ".stack")
        Path(private).chmod(0o755)
        assert None is private_parent(Path(private) / "clone" / ".stack")


@pytest.mark.parametrize("clone", ["has a blank", "is-much-too-long" * 6])
def test_a_stack_moves_out_of_a_project_where_servers_cannot_live(tmp_path: Path, clone: str) -> None:
    """A clone whose path Kafka, Java or a UNIX socket cannot bear gets a directory of its own below /var/tmp."""
    moved = default_directory("test", tmp_path / clone)

    assert "/var/tmp" == str(moved.parents[1])  # noqa: S108 - nothing is made there
    assert default_directory("test", tmp_path / "another blank") != moved


def test_arguments_win_over_variables() -> None:
    """An argument wins over its variable, and a variable over the default."""
    environ = {"LASTLOGIN_STACK_DIR": "/from/variable", "LASTLOGIN_STACK_PORT": "18000"}

    assert Layout(Path("/from/variable"), 18000) == layout_from(environ)
    assert Layout(Path("/from/argument"), 17000) == layout_from(environ, Path("/from/argument"), 17000)


def test_port_that_is_no_number() -> None:
    """A port variable that is no number is refused by name and value."""
    with pytest.raises(StackError, match="LASTLOGIN_STACK_PORT: 'abc'") as caught:
        layout_from({"LASTLOGIN_STACK_PORT": "abc"})

    assert CONFIG == caught.value.code


@pytest.mark.parametrize("port", [0, 1023, 65437, 70000])
def test_port_out_of_range(port: int) -> None:
    """A base port is refused when root alone may use it or the ports above it do not exist."""
    with pytest.raises(StackError, match="must be from 1024 to 65436"):
        Layout(Path("/a"), port).check()


@pytest.mark.parametrize("directory", ["/with blank", "/with%percent", "/with:colon", "/with,comma", "/with$dollar"])
def test_directory_with_a_meaning(directory: str) -> None:
    """A directory name that Dovecot, Kafka or Java would read as something else is refused."""
    with pytest.raises(StackError, match="LASTLOGIN_STACK_DIR"):
        Layout(Path(directory)).check()


def test_directory_too_long_for_sockets() -> None:
    """The longest usable directory leaves room for Dovecot's longest socket name; one byte more is refused."""
    room = 107 - len("/dovecot/run/token-login/imap-urlauth")
    Layout(Path("/" + "x" * (room - 1))).check()

    with pytest.raises(StackError, match="1 bytes too long"):
        Layout(Path("/" + "x" * room)).check()


def test_wipe_knows_only_its_own(tmp_path: Path) -> None:
    """Of a directory that also holds other files, only what the stack has made counts as its own."""
    (tmp_path / "letter.txt").touch()
    layout = Layout(tmp_path)
    layout.create()

    own = {path.name for path in layout.own_paths()}

    assert {"services", "logs", "pids", ".lastlogin-stack"} == own


def test_foreign_directory_in_the_way(tmp_path: Path) -> None:
    """A directory with one of our names that we have not made is neither used nor counted as ours."""
    (tmp_path / "kafka").mkdir()
    layout = Layout(tmp_path)

    with pytest.raises(StackError, match="is not the stack's"):
        layout.create()

    assert [] == layout.own_paths()


def test_stack_inside_a_stack(tmp_path: Path) -> None:
    """A stack takes a directory that so far holds only another stack below it."""
    Layout(tmp_path / "outer" / "test").create()

    Layout(tmp_path / "outer").create()

    assert (tmp_path / "outer" / "test").is_dir()

"""Cassandra's settings and what they become."""

import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import Any

import pytest
from cassandra import ConsistencyLevel, UnresolvableContactPoints
from cassandra.cluster import Cluster, NoHostAvailable
from cassandra.policies import DCAwareRoundRobinPolicy, TokenAwarePolicy
from pydantic_settings import SettingsConfigDict

from lastlogin_consumer.table import explain, is_wrong
from lastlogin_ops.reader import failure_in_words
from lastlogin_service.cassandra import CassandraSettings, build_cluster, connect
from lastlogin_service.exits import CONFIG, Exit
from lastlogin_service.settings import Settings, load
from tests.support.certificates import make_certificate


class Program(Settings):
    """A program that talks to Cassandra."""

    model_config = SettingsConfigDict(env_prefix="P_")

    cassandra: CassandraSettings


def cassandra(**keys: object) -> CassandraSettings:
    """Settings with these keys, as the environment gives them."""
    environ = {f"P_CASSANDRA__{key.upper()}": str(value) for key, value in keys.items()}
    return load(Program, None, {"P_CASSANDRA__CONTACT_POINTS": "127.0.0.1"} | environ).cassandra


def problems(**keys: object) -> list[str]:
    """Problems of these keys, without their origins."""
    with pytest.raises(Exit) as caught:
        cassandra(**keys)
    return [line.split(": ", 1)[1] for line in caught.value.message.splitlines()]


@contextmanager
def cluster(settings: CassandraSettings) -> Iterator[Cluster]:
    """Build a cluster, and shut it down."""
    built = build_cluster(settings)
    try:
        yield built
    finally:
        built.shutdown()


def test_defaults() -> None:
    """What the promises rest on is set, whatever the driver's defaults are."""
    with cluster(cassandra(contact_points="127.0.0.1,127.0.0.2", local_dc="dc1")) as built:
        profile = built.profile_manager.default
        assert isinstance(profile.load_balancing_policy, TokenAwarePolicy)
        assert not profile.load_balancing_policy.shuffle_replicas
        assert isinstance(profile.load_balancing_policy._child_policy, DCAwareRoundRobinPolicy)
        assert profile.load_balancing_policy._child_policy.local_dc == "dc1"
        assert profile.consistency_level == ConsistencyLevel.LOCAL_QUORUM
        assert profile.request_timeout == 12.0
        assert built.compression is False
        assert built.protocol_version == 5
        assert built.auth_provider is None
        assert built.ssl_context is None
        assert [point.address for point in built.endpoints_resolved] == ["127.0.0.1", "127.0.0.2"]


def test_login_and_tls(tmp_path: Path) -> None:
    """Name, password and certificates reach the driver, and the nodes' certificates are checked."""
    certificate = make_certificate(tmp_path)
    settings = cassandra(
        username="u",
        password="p",
        tls=True,
        ca_file=certificate.file,
        cert_file=certificate.file,
        key_file=certificate.key_file,
        server_hostname="node.example.org",
        consistency="EACH_QUORUM",
        protocol_version=4,
    )
    with cluster(settings) as built:
        assert (built.auth_provider.username, built.auth_provider.password) == ("u", "p")
        assert built.ssl_context.verify_mode == ssl.CERT_REQUIRED
        assert built.ssl_context.check_hostname
        assert built.ssl_options == {"server_hostname": "node.example.org"}
        assert built.profile_manager.default.consistency_level == ConsistencyLevel.EACH_QUORUM
        assert built.protocol_version == 4


def test_half_a_login() -> None:
    """A name without password and a password without name are refused."""
    assert problems(username="u") == [
        "cassandra.password: not given - must be given (or password_file), because username is given"
    ]
    assert problems(password="p") == ["cassandra.username: not given - must be given, because a password is given"]


def test_unused_tls() -> None:
    """Certificates that would stay unused are refused."""
    assert problems(ca_file="/ca.pem", server_hostname="n") == [
        'cassandra.ca_file: "/ca.pem" - must not be given, because tls is false',
        'cassandra.server_hostname: "n" - must not be given, because tls is false',
    ]


def test_names() -> None:
    """Hosts come without port, keyspace and table are plain names, the choices are listed."""
    host = "must be a host name (1 to 63 characters between dots) or address without port, which is a key of its own"
    levels = "LOCAL_QUORUM, QUORUM, EACH_QUORUM, LOCAL_ONE, ONE, TWO, THREE, ALL"
    name = "must be a name of up to 48 letters, digits and underscores"
    assert problems(
        contact_points="a/b", keyspace="1-x", table='x"; DROP', consistency="ANY", protocol_version="6"
    ) == [
        f'cassandra.contact_points[0]: "a/b" - {host}',
        f'cassandra.consistency: "ANY" - must be one of {levels}',
        f'cassandra.keyspace: "1-x" - {name}',
        f'cassandra.table: "x\\"; DROP" - {name}',
        'cassandra.protocol_version: "6" - must be a whole number, at least 4 and at most 5',
    ]


def test_port_in_a_contact_point() -> None:
    """A port behind the host is told to have a key of its own, an IPv6 address is not mistaken for one."""
    host = "must be a host name (1 to 63 characters between dots) or address without port, which is a key of its own"
    assert problems(contact_points="node1:9042") == [f'cassandra.contact_points[0]: "node1:9042" - {host}']
    assert cassandra(contact_points="::1").contact_points == ["::1"]


@pytest.mark.parametrize("name", ["a..b", ".a", ".", "x" * 64, "a." + "x" * 64])
def test_names_that_nobody_can_look_up(name: str) -> None:
    """They are refused as settings; the look-up of such a name raises what nobody expects."""
    host = "must be a host name (1 to 63 characters between dots) or address without port, which is a key of its own"
    assert problems(contact_points=name, tls="true", server_hostname=name) == [
        f'cassandra.contact_points[0]: "{name}" - {host}',
        f'cassandra.server_hostname: "{name}" - {host}',
    ]


def test_unknown_host() -> None:
    """A name that does not resolve is the driver's own error, for the caller to retry."""
    with pytest.raises(UnresolvableContactPoints):
        build_cluster(cassandra(contact_points="nowhere.invalid"))


@pytest.mark.parametrize(
    ("local_dc", "known"), [("dc1", ["dc2", "dc1"]), ("dc9", []), ("dc9", [None]), (None, ["dc1", "dc2"])]
)
def test_no_node_of_the_data_centre_answers(local_dc: str | None, known: list[str | None]) -> None:
    """Without an answer, or with nodes of it that are down, there is nothing to say against `local_dc`."""
    error = NoHostAvailable("Unable to connect to any servers", [])
    with pytest.raises(NoHostAvailable):
        connect(unreachable(error, known), local_dc)


def test_a_data_centre_that_there_is_not() -> None:
    """When a node has answered, those that there are are named."""
    error = NoHostAvailable("Unable to connect to any servers", [])
    with pytest.raises(Exit, match=r"cassandra\.local_dc: dc9 - .* no such data centre; it has dc1, dc2") as caught:
        connect(unreachable(error, ["dc2", "dc1", None, "dc1"]), "dc9")
    assert CONFIG == caught.value.code
    assert caught.value.message == explain(caught.value)


@pytest.mark.parametrize(
    ("cause", "sentence"),
    [
        (
            "[SSL: WRONG_VERSION_NUMBER] wrong version number",
            "Cassandra's port speaks no TLS, check cassandra.tls and cassandra.port",
        ),
        (
            "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed",
            "Cassandra's certificate is not trusted, check cassandra.ca_file",
        ),
    ],
)
def test_a_port_with_other_encryption(cause: str, sentence: str) -> None:
    """The consumer says what to look at, as `lastlogin show` does, and that a person is needed."""
    error = NoHostAvailable("Unable to connect to any servers", {"c:9042": OSError(f"Last error: {cause}")})
    assert (sentence, True) == (explain(error), is_wrong(error))
    away = NoHostAvailable("Unable to connect to any servers", {"c:9042": ConnectionRefusedError(111, "refused")})
    assert not is_wrong(away)


@contextmanager
def port_of(serve: Callable[[socket.socket], None]) -> Iterator[int]:
    """A port at which each connection is served so, then closed."""

    def run(server: socket.socket) -> None:
        with suppress(OSError):
            while True:
                peer, _ = server.accept()
                with peer, suppress(OSError):
                    serve(peer)

    with socket.create_server(("127.0.0.1", 0)) as server:
        running = Thread(target=run, args=(server,))
        running.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        running.join()


def not_connected(settings: CassandraSettings) -> NoHostAvailable:
    """What connecting raises."""
    with cluster(settings) as built, pytest.raises(NoHostAvailable) as caught:
        connect(built, None)
    return caught.value


@pytest.mark.parametrize("wants_ours", [True, False])
def test_a_port_that_speaks_tls(tmp_path: Path, *, wants_ours: bool) -> None:
    """Whoever connects without TLS is told so by both programs, also where it wants the client's certificate."""
    certificate = make_certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.file, certificate.key_file)
    if wants_ours:
        # As of 1.3 the client learns of it when the handshake is over.
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.verify_mode = ssl.CERT_REQUIRED
    with port_of(lambda peer: context.wrap_socket(peer, server_side=True).close()) as port:
        settings = cassandra(port=port)
        error = not_connected(settings)

    sentence = "Cassandra's port speaks TLS, set cassandra.tls or check cassandra.port"
    assert (sentence, True) == (explain(error), is_wrong(error))
    told = failure_in_words(error, settings)
    assert isinstance(told, Exit)
    assert CONFIG == told.code
    assert told.message.startswith(f"{sentence}: ")


def test_a_port_that_closes_and_speaks_no_tls() -> None:
    """It stays a node that does not answer."""
    # What is left unread makes the end a reset, as Cassandra's own.
    with port_of(lambda peer: [peer.recv(1)].clear()) as port:
        error = not_connected(cassandra(port=port))

    assert ("no node answers: is Cassandra up, are contact_points and port right?", False) == (
        explain(error),
        is_wrong(error),
    )


def unreachable(error: Exception, known: list[str | None]) -> Any:
    """A cluster with nodes in these data centres, which does not connect."""

    def fail() -> None:
        raise error

    hosts = [SimpleNamespace(datacenter=each) for each in known]
    return SimpleNamespace(connect=fail, metadata=SimpleNamespace(all_hosts=lambda: hosts))

"""The endpoint for metrics and health, on real ports."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from lastlogin_service.endpoint import Endpoint, new_registry
from lastlogin_service.exits import CONFIG, TEMPFAIL, Exit
from lastlogin_service.listening import EndpointSettings, check_bindable
from lastlogin_service.preflight import Finding
from tests.support.http import Answer, get


NAME = "lastlogin-tested"
# Of the documentation range; no machine has it.
FOREIGN = "192.0.2.1"


class Served:
    """An endpoint with what a test tells it to answer."""

    def __init__(self, port: int, address: str = "127.0.0.1", registry: CollectorRegistry | None = None) -> None:
        self.port, self.address = port, address
        self.dead: list[str] = []
        self.unready: list[str] = []
        self.endpoint = Endpoint(
            EndpointSettings(address=address, port=port),
            NAME,
            registry or new_registry("lastlogin_tested", "1.2.3"),
            live=lambda: self.dead,
            ready=lambda: self.unready,
        )

    async def get(self, path: str, accept: str = "*/*") -> Answer:
        """Ask it."""
        return await asyncio.to_thread(get, self.port, path, address=self.address, accept=accept)


@asynccontextmanager
async def served(address: str = "127.0.0.1") -> AsyncIterator[Served]:
    """An endpoint that serves until the block ends."""
    served = Served(free_port(address), address)
    await served.endpoint.start()
    try:
        yield served
    finally:
        await served.endpoint.stop()


def free_port(address: str = "127.0.0.1") -> int:
    """A port that nobody uses."""
    with closing(socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)) as probe:
        probe.bind((address, 0))
        return int(probe.getsockname()[1])


@contextmanager
def silent_listener() -> Iterator[int]:
    """The port of a program that accepts and says nothing."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        yield int(listener.getsockname()[1])


async def test_metrics_in_the_format_that_is_asked_for() -> None:
    """Prometheus' text for whoever asks for nothing, OpenMetrics for whoever accepts that; both with the version."""
    async with served() as one:
        plain = await one.get("/metrics")
        openmetrics = await one.get("/metrics", "application/openmetrics-text; version=1.0.0")

    assert (200, 200) == (plain.status, openmetrics.status)
    assert plain.content_type.startswith("text/plain")
    assert openmetrics.content_type.startswith("application/openmetrics-text")
    assert openmetrics.body.endswith("# EOF\n")
    for answer in (plain, openmetrics):
        assert 'lastlogin_tested_build_info{version="1.2.3"} 1.0' in answer.body
        assert "process_resident_memory_bytes" in answer.body


async def test_healthy() -> None:
    """While nothing is wrong both paths answer 200, with the service's name and no reasons."""
    async with served() as one:
        answers = [await one.get(path) for path in ("/livez", "/readyz")]

    for answer in answers:
        assert (200, "application/json; charset=utf-8") == (answer.status, answer.content_type)
        assert {"service": NAME, "status": "ok"} == answer.json


async def test_not_ready() -> None:
    """A service that is alive and not ready says so on one path only, with its reasons."""
    async with served() as one:
        one.unready = ["The spool is full"]
        live, ready = await one.get("/livez"), await one.get("/readyz")

    assert 200 == live.status
    assert 503 == ready.status
    assert {"service": NAME, "status": "failing", "reasons": ["The spool is full"]} == ready.json


async def test_not_live() -> None:
    """A service that is not alive is not ready either, for the same reason and its own."""
    async with served() as one:
        one.dead, one.unready = ["A task has ended"], ["No partitions"]
        live, ready = await one.get("/livez"), await one.get("/readyz")

    assert (503, ["A task has ended"]) == (live.status, live.json["reasons"])
    assert (503, ["A task has ended", "No partitions"]) == (ready.status, ready.json["reasons"])


async def test_other_paths() -> None:
    """There is nothing else to be found, and nothing tells of the software behind it."""
    async with served() as one:
        assert 404 == (await one.get("/")).status


async def test_port_in_use() -> None:
    """A port in use is a temporary failure (75) whose sentence names both settings; the port is free after a stop."""
    async with served() as one:
        second = Served(one.port)
        with pytest.raises(Exit, match=rf"metrics.address 127.0.0.1, metrics.port {one.port}: another") as caught:
            await second.endpoint.start()
        assert TEMPFAIL == caught.value.code
        await second.endpoint.stop()
    third = Served(one.port)
    await third.endpoint.start()
    await third.endpoint.stop()


async def test_address_of_another_machine() -> None:
    """An address that this machine does not have is a configuration error (78)."""
    with pytest.raises(Exit, match=r"metrics.address 192.0.2.1, .*must be one of this machine") as caught:
        await Served(9, FOREIGN).endpoint.start()

    assert CONFIG == caught.value.code


async def test_ipv6() -> None:
    """An IPv6 address serves as any other."""
    async with served("::1") as one:
        assert 200 == (await one.get("/livez")).status


@pytest.mark.parametrize("addresses", [["::1"], ["::1", "127.0.0.1"]])
async def test_a_name(monkeypatch: pytest.MonkeyPatch, addresses: list[str]) -> None:
    """A name serves on the address that it has, of both kinds on the older one."""
    expected = addresses[-1]
    port = free_port(expected)
    plain = socket.getaddrinfo

    def resolve(host: str, *arguments: Any, **options: Any) -> list[Any]:
        return [
            found
            for address in (addresses if host == "metrics.example.org" else [host])
            for found in plain(address, *arguments, **options)
        ]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    one = Served(port, "metrics.example.org")
    await one.endpoint.start()
    one.address = expected
    try:
        assert 200 == (await one.get("/livez")).status
    finally:
        await one.endpoint.stop()


async def test_check_beside_the_running_service() -> None:
    """A check passes where nobody listens; where a service of this name does, which may be another one, it warns."""
    async with served() as one:
        settings = EndpointSettings(port=one.port)
        beside = await asyncio.to_thread(check_bindable, settings, NAME)
    alone = await asyncio.to_thread(check_bindable, settings, NAME)

    warning = f"metrics.address 127.0.0.1, metrics.port {one.port}: a {NAME} already listens there: "
    assert [Finding(f"{warning}if that is not this one, give it its own metrics.port")] == beside
    assert [] == alone


async def test_check_beside_another_service() -> None:
    """A check fails (75) where another service of ours listens."""
    async with served() as one:
        with pytest.raises(Exit, match="another program listens there") as caught:
            await asyncio.to_thread(check_bindable, EndpointSettings(port=one.port), "lastlogin-other")

    assert TEMPFAIL == caught.value.code


def test_check_beside_a_program_that_says_nothing() -> None:
    """A check fails (75) where a program listens that does not even answer."""
    with silent_listener() as port, pytest.raises(Exit, match="another program listens there") as caught:
        check_bindable(EndpointSettings(port=port), NAME)

    assert TEMPFAIL == caught.value.code


@pytest.mark.parametrize("answer", [b"SSH-2.0-x\r\n", b"HTTP/1.1 200 OK\r\n\r\n" + json.dumps(["service"]).encode()])
async def test_check_beside_a_program_that_says_something_else(answer: bytes) -> None:
    """A check fails (75), without a traceback, where something answers that is no service of ours."""

    async def say(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(say, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        with pytest.raises(Exit, match="another program listens there") as caught:
            await asyncio.to_thread(check_bindable, EndpointSettings(port=port), NAME)
    finally:
        server.close()

    assert TEMPFAIL == caught.value.code


def test_check_of_an_address_of_another_machine() -> None:
    """A check tells (78) what the start would."""
    with pytest.raises(Exit, match=r"metrics.address 192.0.2.1") as caught:
        check_bindable(EndpointSettings(address=FOREIGN, port=9), NAME)

    assert CONFIG == caught.value.code


async def test_a_flood_of_headers() -> None:
    """A request line of 100 KB is refused, and the endpoint goes on."""
    async with served() as one:
        assert 400 == (await one.get("/" + "x" * 100_000)).status
        assert 200 == (await one.get("/livez")).status


async def test_more_connections_than_anybody_needs() -> None:
    """The newest is closed at once, those before it are served, and a place that is left is taken by the next."""
    async with served() as one:
        clients = await asyncio.to_thread(
            lambda: [socket.create_connection(("127.0.0.1", one.port), timeout=5) for _ in range(100)]
        )
        try:
            await asyncio.sleep(0.2)
            closed = [client for client in clients if _is_closed(client)]
            assert clients[64:] == closed
            clients[0].close()
            await asyncio.sleep(0.1)
            assert 200 == (await one.get("/livez")).status
        finally:
            for client in clients:
                client.close()


async def test_a_connection_without_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is closed after a while, whether it has brought one before, a part of one, or nothing."""
    monkeypatch.setattr("lastlogin_service.endpoint._IDLE_S", 0.2)
    async with served() as one:
        for begun in (b"", b"GET /livez HTTP/1.1\r\n", b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"):
            with socket.create_connection(("127.0.0.1", one.port), timeout=5) as client:
                client.sendall(begun)
                assert b"" == await asyncio.to_thread(_rest, client)


def _is_closed(client: socket.socket) -> bool:
    client.setblocking(False)
    try:
        return client.recv(1) == b""
    except BlockingIOError:
        return False


def _rest(client: socket.socket) -> bytes:
    """What is left to read after the answer, if there is one."""
    while data := client.recv(65_536):
        pass
    return data

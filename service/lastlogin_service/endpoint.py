"""One HTTP endpoint per service: `/metrics` for Prometheus, `/livez` and `/readyz` for whoever restarts and routes.

    /metrics   the registry, in the format that the scraper asks for
    /livez     200 while the process does its work; anything else: restart it
    /readyz    200 while it can do what it is there for; 503 with the reasons otherwise

Both health paths answer with JSON: `{"service": ..., "status": "ok"}`, or `"failing"` with `"reasons"`.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware
from prometheus_client import CollectorRegistry, Gauge, PlatformCollector, ProcessCollector
from prometheus_client.aiohttp import make_aiohttp_handler

from lastlogin_service.listening import BACKLOG, LIVEZ, EndpointSettings, bind_failure, listen, url


# Yields nothing while all is well, else a sentence for each thing that is not.
Check: TypeAlias = Callable[[], Sequence[str]]

# Several scrapers and probes with one each. Each takes a file descriptor, of those that the service needs itself.
_MAX_CONNECTIONS = 64
# Without a request; below the interval of a scraper, which then connects anew each time.
_IDLE_S = 5.0
# A request line and headers of a scraper have some hundred bytes.
_MAX_LINE_BYTES = 4_096
_STOP_S = 1.0

_log = structlog.get_logger(__name__)


def new_registry(prefix: str, version: str) -> CollectorRegistry:
    """Registry with what every service tells: `<prefix>_build_info`, and its process (`process_*`, `python_info`)."""
    registry = CollectorRegistry()
    ProcessMetrics(registry=registry)
    PlatformCollector(registry=registry)
    info = Gauge(f"{prefix}_build_info", "Version that runs; the value is always 1.", ["version"], registry=registry)
    info.labels(version).set(1)
    return registry


class ProcessMetrics(ProcessCollector):
    """The client's `process_*`, also where /proc shows processes and nothing else, as under systemd's ProcSubset=pid.

    The client takes a /proc without `stat`, in which it looks for the time of the boot, for none at all.
    """

    def _boot_time(self) -> float:
        return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)


class Endpoint:
    """The endpoint of the service `name`. `start` binds, `stop` frees the port.

    `refresh` is awaited before each answer but that of `/livez`. `live` and `ready` are asked at each request, in the
    event loop: they must not block. A service that is not live is not ready either.
    """

    def __init__(
        self,
        settings: EndpointSettings,
        name: str,
        registry: CollectorRegistry,
        *,
        live: Check,
        ready: Check,
        refresh: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._settings = settings
        self._name = name
        self._live = live
        self._ready = ready
        app = web.Application(client_max_size=0, middlewares=[_after(refresh)] if refresh else ())
        app.router.add_get("/metrics", make_aiohttp_handler(registry))
        app.router.add_get(LIVEZ, self._livez)
        app.router.add_get("/readyz", self._readyz)
        self._runner = web.AppRunner(
            app,
            access_log=None,
            handle_signals=False,
            shutdown_timeout=_STOP_S,
            keepalive_timeout=_IDLE_S,
            max_line_size=_MAX_LINE_BYTES,
            max_field_size=_MAX_LINE_BYTES,
        )
        self._listening: asyncio.Server | None = None
        # Accepted in this round of the loop.
        self._accepted = 0

    async def start(self) -> None:
        """Listen. Raises `Exit`: 75 when the port is in use, 78 when the address cannot be used."""
        address, port = self._settings.address, self._settings.port
        try:
            listening = listen(address, port)
        except OSError as error:
            raise bind_failure(address, port, error) from None
        bound = listening.getsockname()[1]
        await self._runner.setup()
        self._listening = await asyncio.get_running_loop().create_server(
            self._connection, sock=listening, backlog=BACKLOG
        )
        _log.info(f"Metrics and health on {url(address, bound)}", action="metrics_listening", port=bound)

    async def stop(self) -> None:
        """Close; requests under way get a second."""
        if self._listening is not None:
            self._listening.close()
        await self._runner.cleanup()

    def _connection(self) -> asyncio.BaseProtocol:
        server = self._runner.server
        assert server is not None  # noqa: S101 - listening since it was set up
        if len(server.connections) + self._accepted >= _MAX_CONNECTIONS:
            return _OneTooMany()
        # The server counts it itself only when the loop has told it.
        self._accepted += 1
        asyncio.get_running_loop().call_soon(self._is_counted)
        return server()

    def _is_counted(self) -> None:
        self._accepted -= 1

    async def _livez(self, _request: web.Request) -> web.Response:
        return self._answer(self._live())

    async def _readyz(self, _request: web.Request) -> web.Response:
        return self._answer([*self._live(), *self._ready()])

    def _answer(self, reasons: Sequence[str]) -> web.Response:
        body: dict[str, object] = {"service": self._name, "status": "failing" if reasons else "ok"}
        if reasons:
            body["reasons"] = list(reasons)
        return web.json_response(body, status=503 if reasons else 200)


class _OneTooMany(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Close it at once."""
        transport.close()


def _after(refresh: Callable[[], Awaitable[None]]) -> Middleware:
    @web.middleware
    async def refreshed(request: web.Request, handler: Handler) -> web.StreamResponse:
        # Whether it lives is asked with a time limit, and must be answered whatever hangs.
        if request.path != LIVEZ:
            await refresh()
        return await handler(request)

    return refreshed

"""Where a service's endpoint listens, and whether it could: all that whoever only reads settings needs to load."""

import errno
import json
import os
import socket
from http.client import HTTPConnection, HTTPException

from pydantic import Field

from lastlogin_service.exits import CONFIG, TEMPFAIL, Exit
from lastlogin_service.preflight import Finding
from lastlogin_service.settings import Host, Section


LIVEZ = "/livez"
# Waiting scrapers; more at once are a flood.
BACKLOG = 64
_PROBE_S = 2.0
_MAX_ANSWER_BYTES = 65_536


class EndpointSettings(Section):
    """`[metrics]`: where `/metrics`, `/livez` and `/readyz` are served; a subclass gives the port its default."""

    # Nothing on it asks who is calling. Reachable from elsewhere only where somebody has decided so.
    address: Host = "127.0.0.1"
    # 0: any free one, which the log names.
    port: int = Field(default=0, ge=0, le=65_535)


def listen(address: str, port: int) -> socket.socket:
    """Listen. Not left to the loop: uvloop hangs when it cannot bind. Raises OSError."""
    found = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM)
    # A name that has both kinds of address means the older one, which every scraper can reach.
    family, *_, where = min(found, key=lambda each: each[0] != socket.AF_INET)
    return socket.create_server(where[:2], family=family, backlog=BACKLOG)


def bind_failure(address: str, port: int, error: OSError) -> Exit:
    """Say why nobody can listen there, and what to do."""
    where = f"metrics.address {address}, metrics.port {port}"
    if error.errno == errno.EADDRINUSE:
        return Exit(TEMPFAIL, f"{where}: another program listens there; stop it, or choose another port")
    # The library wraps the system's own words in a sentence; for a name that does not resolve there are no others.
    why = os.strerror(error.errno) if error.errno is not None and error.errno > 0 else error.strerror or str(error)
    return Exit(CONFIG, f"{where}: cannot listen there: {why}; the address must be one of this machine")


def url(address: str, port: int, path: str = "") -> str:
    """URL of the endpoint."""
    return f"http://{f'[{address}]' if ':' in address else address}:{port}{path}"


def check_bindable(settings: EndpointSettings, name: str) -> list[Finding]:
    """Try to listen where `settings` say, and stop at once; a warning when a `name` runs there already.

    For `--check-config`, which is often run beside the running service. Blocks. Raises `Exit` as `Endpoint.start`.
    """
    address, port = settings.address, settings.port
    try:
        listen(address, port).close()
    except OSError as error:
        if error.errno != errno.EADDRINUSE or _service_at(settings) != name:
            raise bind_failure(address, port, error) from None
        what = f"metrics.address {address}, metrics.port {port}: a {name} already listens there"
        return [Finding(f"{what}: if that is not this one, give it its own metrics.port")]
    return []


def _service_at(settings: EndpointSettings) -> str | None:
    """Ask who listens there; None when it is none of our services."""
    connection = HTTPConnection(settings.address, settings.port, timeout=_PROBE_S)
    try:
        connection.request("GET", LIVEZ)
        found = json.loads(connection.getresponse().read(_MAX_ANSWER_BYTES))
    except (OSError, HTTPException, ValueError):
        return None
    finally:
        connection.close()
    return found.get("service") if isinstance(found, dict) else None

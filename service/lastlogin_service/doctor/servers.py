"""Servers of Kafka or Cassandra from here: their names, ports, and certificates."""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from lastlogin_service.counting import counted
from lastlogin_service.daemon_thread import in_thread
from lastlogin_service.doctor.report import Line, error, ok, warning
from lastlogin_service.kafka import KafkaSettings
from lastlogin_service.tls import Certificates, client_context


_RESOLVE_S = 3.0
_CONNECT_S = 2.0
_HANDSHAKE_S = 3.0
_EXPIRES_SOON_DAYS = 14

# X509_V_ERR_* (openssl's x509_vfy.h), and what to do.
_NO_CA = "{section}.ca_file must hold the CA of the servers' certificates"
_OTHER_NAME = "name the server in {name_key} as its certificate does"
_CERTIFICATE_FAULTS = {
    9: "its certificate is not valid yet: look at the clocks of both hosts",
    10: "renew the server's certificate",
    18: _NO_CA,
    19: _NO_CA,
    20: _NO_CA,
    21: _NO_CA,
    62: _OTHER_NAME,
    64: _OTHER_NAME,
}


@dataclass(frozen=True, slots=True)
class Servers:
    """Servers as `host:port`, which `key` of the section `section` names.

    `tls` is None where connections are not encrypted; `name` is the one in the certificates, None for that of the host.
    `name_key` is the setting that may be wrong about it, `no_tls` what may be wrong where nobody speaks TLS.
    """

    section: str
    key: str
    servers: Sequence[str]
    tls: Certificates | None
    name_key: str
    no_tls: str
    name: str | None = None


def of_kafka(settings: KafkaSettings) -> Servers:
    """Kafka's bootstrap servers."""
    return Servers(
        "kafka",
        "kafka.bootstrap_servers",
        settings.bootstrap_servers,
        settings if settings.uses_tls else None,
        "kafka.bootstrap_servers",
        "that port may have another kafka.security_protocol, such as PLAINTEXT",
    )


@dataclass(frozen=True, slots=True)
class _Fault:
    server: str
    found: str
    do: str
    # Whether the server is of use all the same.
    usable: bool = False


async def look(wanted: Servers) -> tuple[bool, list[Line]]:
    """Look name by name. The first is False when there is no server that it is worth asking more of."""
    servers, section = wanted.servers, wanted.section
    lines: list[Line] = []
    steps: list[tuple[str, Callable[[str], Awaitable[str | _Fault]]]]
    steps = [("resolve", partial(_resolve, wanted)), ("connect", _connect)]
    if wanted.tls is not None:
        try:
            context = client_context(wanted.tls)
        except OSError as why:
            unusable = f"the certificates in [{section}] cannot be used: {why}"
            return False, [error(f"{section}.tls", unusable, "look at them")]
        steps.append(("tls", partial(_handshake, wanted, context)))
    for step_name, step in steps:
        check = f"{section}.{step_name}"
        found = await asyncio.gather(*(step(server) for server in servers))
        faults = [each for each in found if isinstance(each, _Fault)]
        servers = [
            server for server, each in zip(servers, found, strict=True) if not isinstance(each, _Fault) or each.usable
        ]
        lines += _told(check, faults, [each for each in found if isinstance(each, str)], len(found))
        if not servers:
            return False, lines
    return True, lines


def _told(check: str, faults: Sequence[_Fault], good: Sequence[str], count: int) -> list[Line]:
    if not faults:
        return [ok(check, ", ".join(good))]
    # With some of them left the others are asked instead; but one after the other is lost like this.
    of_no_use = sum(not fault.usable for fault in faults)
    level = error if of_no_use == count else warning
    return [level(check, f"{fault.server}: {fault.found}", fault.do) for fault in faults]


async def _resolve(wanted: Servers, server: str) -> str | _Fault:
    host, port = _split(server)
    do = f"look at the name in {wanted.key}, at /etc/resolv.conf and /etc/hosts"
    try:
        found = await asyncio.wait_for(
            in_thread(lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)), _RESOLVE_S
        )
    except TimeoutError:
        return _Fault(server, f"the resolver did not answer within {_RESOLVE_S:g} s", do)
    except OSError as why:
        return _Fault(server, f"cannot be resolved: {why.strerror}", do)
    addresses = sorted({str(address[4][0]) for address in found})
    return server if addresses == [host] else f"{server} is {' and '.join(addresses)}"


async def _connect(server: str) -> str | _Fault:
    host, port = _split(server)
    do = "is the server up, is that its port, does a firewall let us through? Logins wait meanwhile"
    begun = asyncio.get_running_loop().time()
    try:
        _, writer = await asyncio.wait_for(asyncio.open_connection(host, port), _CONNECT_S)
    except TimeoutError:
        return _Fault(server, f"does not answer within {_CONNECT_S:g} s", do)
    except OSError as why:
        return _Fault(server, f"cannot be connected to: {why.strerror or why}", do)
    writer.close()
    return f"{server} in {(asyncio.get_running_loop().time() - begun) * 1000:.0f} ms"


async def _handshake(wanted: Servers, context: ssl.SSLContext, server: str) -> str | _Fault:
    host, port = _split(server)
    try:
        opening = asyncio.open_connection(host, port, ssl=context, server_hostname=wanted.name)
        _, writer = await asyncio.wait_for(opening, _HANDSHAKE_S)
    except ssl.SSLCertVerificationError as why:
        do = _CERTIFICATE_FAULTS.get(why.verify_code, "look at the server's certificate and at {section}.ca_file")
        do = do.format(section=wanted.section, name_key=wanted.name_key)
        return _Fault(server, f"its certificate is refused: {why.verify_message}", do)
    except ssl.SSLError as why:
        return _Fault(server, f"no TLS: {(why.reason or str(why)).replace('_', ' ').lower()}", wanted.no_tls)
    except TimeoutError:
        return _Fault(server, f"no TLS within {_HANDSHAKE_S:g} s", wanted.no_tls)
    except OSError as why:
        do = f"{wanted.no_tls}; or require {wanted.section}.cert_file"
        return _Fault(server, f"no TLS: {why.strerror or 'the connection was closed'}", do)
    certificate = writer.get_extra_info("peercert") or {}
    writer.close()
    ends = datetime.fromtimestamp(ssl.cert_time_to_seconds(certificate["notAfter"]), UTC)
    days = (ends - datetime.now(UTC)).days
    if days < _EXPIRES_SOON_DAYS:
        return _Fault(server, f"its certificate ends in {counted(days, 'day')}", "renew it", usable=True)
    return f"{server}, certificate until {ends:%Y-%m-%d}"


def _split(server: str) -> tuple[str, int]:
    host, _, port = server.rpartition(":")
    return host.strip("[]"), int(port)

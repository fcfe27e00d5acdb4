"""Kafka's bootstrap servers from here: their names, ports, and certificates."""

import asyncio
import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from lastlogin_producer.daemon_thread import in_thread
from lastlogin_producer.doctor.report import Line, error, ok, warning
from lastlogin_service.kafka import KafkaSettings
from lastlogin_service.tls import client_context


_RESOLVE_S = 3.0
_CONNECT_S = 2.0
_HANDSHAKE_S = 3.0
_EXPIRES_SOON_DAYS = 14

# X509_V_ERR_* (openssl's x509_vfy.h), and what to do.
_CERTIFICATE_FAULTS = {
    9: "its certificate is not valid yet: look at the clocks of both hosts",
    10: "renew the broker's certificate",
    18: "kafka.ca_file must hold the CA of the brokers' certificates",
    19: "kafka.ca_file must hold the CA of the brokers' certificates",
    20: "kafka.ca_file must hold the CA of the brokers' certificates",
    21: "kafka.ca_file must hold the CA of the brokers' certificates",
    62: "name the server in kafka.bootstrap_servers as its certificate does",
    64: "name the server in kafka.bootstrap_servers as its certificate does",
}


@dataclass(frozen=True, slots=True)
class _Fault:
    server: str
    found: str
    do: str
    # Whether the server is of use all the same.
    usable: bool = False


async def look(settings: KafkaSettings) -> tuple[bool, list[Line]]:
    """Look name by name. The first is False when there is no server that it is worth asking more of."""
    servers = settings.bootstrap_servers
    lines: list[Line] = []
    steps = [("kafka.resolve", _resolve), ("kafka.connect", _connect)]
    if settings.uses_tls:
        try:
            context = client_context(settings)
        except OSError as why:
            return False, [error("kafka.tls", f"the certificates in [kafka] cannot be used: {why}", "look at them")]
        steps.append(("kafka.tls", partial(_handshake, context)))
    for check, step in steps:
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


async def _resolve(server: str) -> str | _Fault:
    host, port = _split(server)
    do = "look at the name in kafka.bootstrap_servers, at /etc/resolv.conf and /etc/hosts"
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
    do = "is the broker up, is that its port, does a firewall let us through? Logins wait in the spool meanwhile"
    begun = asyncio.get_running_loop().time()
    try:
        _, writer = await asyncio.wait_for(asyncio.open_connection(host, port), _CONNECT_S)
    except TimeoutError:
        return _Fault(server, f"does not answer within {_CONNECT_S:g} s", do)
    except OSError as why:
        return _Fault(server, f"cannot be connected to: {why.strerror or why}", do)
    writer.close()
    return f"{server} in {(asyncio.get_running_loop().time() - begun) * 1000:.0f} ms"


async def _handshake(context: ssl.SSLContext, server: str) -> str | _Fault:
    host, port = _split(server)
    try:
        _, writer = await asyncio.wait_for(asyncio.open_connection(host, port, ssl=context), _HANDSHAKE_S)
    except ssl.SSLCertVerificationError as why:
        do = _CERTIFICATE_FAULTS.get(why.verify_code, "look at the broker's certificate and at kafka.ca_file")
        return _Fault(server, f"its certificate is refused: {why.verify_message}", do)
    except ssl.SSLError as why:
        do = "that port may have another kafka.security_protocol, such as PLAINTEXT"
        return _Fault(server, f"no TLS: {(why.reason or str(why)).replace('_', ' ').lower()}", do)
    except TimeoutError:
        do = "that port may have another kafka.security_protocol, such as PLAINTEXT"
        return _Fault(server, f"no TLS within {_HANDSHAKE_S:g} s", do)
    except OSError as why:
        do = "that port may have another kafka.security_protocol, or require kafka.cert_file"
        return _Fault(server, f"no TLS: {why.strerror or 'the connection was closed'}", do)
    certificate = writer.get_extra_info("peercert") or {}
    writer.close()
    ends = datetime.fromtimestamp(ssl.cert_time_to_seconds(certificate["notAfter"]), UTC)
    days = (ends - datetime.now(UTC)).days
    if days < _EXPIRES_SOON_DAYS:
        return _Fault(server, f"its certificate ends in {days} days", "renew it", usable=True)
    return f"{server}, certificate until {ends:%Y-%m-%d}"


def _split(server: str) -> tuple[str, int]:
    host, _, port = server.rpartition(":")
    return host.strip("[]"), int(port)

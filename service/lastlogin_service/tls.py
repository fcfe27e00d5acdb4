"""TLS for connections that we open."""

import os
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol


class Certificates(Protocol):
    """The three settings that every section with TLS has; without `ca_file` the system's own CAs are trusted."""

    @property
    def ca_file(self) -> Path | None:
        """CA certificates (PEM) that the server's certificate is checked against."""

    @property
    def cert_file(self) -> Path | None:
        """Our own certificate with its chain (PEM)."""

    @property
    def key_file(self) -> Path | None:
        """The unencrypted private key (PEM) of our certificate."""


def client_context(files: Certificates) -> ssl.SSLContext:
    """Context that checks the server's certificate and name. Raises OSError (`ssl.SSLError` is one)."""
    context = ssl.create_default_context(cafile=files.ca_file)
    if files.cert_file is not None and files.key_file is not None:
        # An encrypted key would make OpenSSL ask for its passphrase on the terminal.
        context.load_cert_chain(files.cert_file, files.key_file, password="")
    return context


def speaks_tls(address: tuple[str, int], timeout_s: float) -> bool:
    """Whether a TLS handshake begins there. Nothing is checked: to say why a connection without it failed."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with socket.create_connection(address, timeout_s) as plain, context.wrap_socket(plain):
            return True
    except ssl.SSLError as error:
        # Who wants our certificate, say, refuses in TLS's own words.
        return "ALERT" in (error.reason or "")
    except OSError:
        return False


def certificate_problems(files: Certificates) -> Iterator[tuple[str, str]]:
    """Yield (key, what is wrong with it), so that bad certificates are found before the first connection."""
    unreadable = False
    for key in ("ca_file", "cert_file", "key_file"):
        path: Path | None = getattr(files, key)
        if path is not None and not (path.is_file() and os.access(path, os.R_OK)):
            unreadable = True
            yield key, "must be a file that this user can read"
    if (files.cert_file is None) != (files.key_file is None):
        given, lacking = ("cert_file", "key_file") if files.key_file is None else ("key_file", "cert_file")
        yield lacking, f"must be given too, because {given} is given"
    if unreadable:
        return
    try:
        ssl.create_default_context(cafile=files.ca_file)
    except OSError:
        yield "ca_file", "must hold certificates in PEM form (-----BEGIN CERTIFICATE-----)"
        return
    try:
        client_context(files)
    except OSError:
        yield (
            "cert_file",
            "must be a certificate in PEM form that belongs to key_file, whose key has no passphrase",
        )

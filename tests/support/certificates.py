"""Self-signed certificates, made with openssl."""

import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Certificate:
    """A certificate of its own authority, its key, the same key under a passphrase, and somebody else's key."""

    file: Path
    key_file: Path
    encrypted_key_file: Path
    foreign_key_file: Path


def make_certificate(directory: Path) -> Certificate:
    """Make one for the name `test` in `directory`."""
    made = Certificate(*(directory / name for name in ("cert.pem", "key.pem", "encrypted.pem", "foreign.pem")))
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    for key_file, file in ((made.foreign_key_file, directory / "foreign-cert.pem"), (made.key_file, made.file)):
        _openssl("req", "-x509", *curve, "-subj", "/CN=test", "-keyout", str(key_file), "-out", str(file))
    _openssl(
        *("ec", "-in", str(made.key_file), "-out", str(made.encrypted_key_file), "-aes256", "-passout", "pass:secret")
    )
    return made


def _openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True, timeout=30)

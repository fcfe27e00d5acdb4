"""Certificates, made with openssl: self-signed ones, and those of an authority."""

import subprocess
from dataclasses import dataclass
from pathlib import Path


_CURVE = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


@dataclass(frozen=True)
class Certificate:
    """A certificate of its own authority, its key, the same key under a passphrase, and somebody else's key."""

    file: Path
    key_file: Path
    encrypted_key_file: Path
    foreign_key_file: Path


@dataclass(frozen=True)
class Signed:
    """A certificate that an authority has signed, its key, and both in one file, as Java wants them."""

    file: Path
    key_file: Path
    both: Path


class Authority:
    """A certificate authority of a test's own, in `directory`."""

    def __init__(self, directory: Path, name: str = "authority") -> None:
        self._directory = directory
        self._name = name
        self.file, self._key_file = directory / f"{name}.pem", directory / f"{name}.key"
        _openssl(
            "req", "-x509", *_CURVE, "-subj", f"/CN={name}", "-keyout", str(self._key_file), "-out", str(self.file)
        )

    def sign(self, name: str, alternative: str = "IP:127.0.0.1", *, days: int = 30) -> Signed:
        """Sign a certificate for `alternative` (a subjectAltName) from now on; below 0 days it has expired."""
        made = Signed(*(self._directory / f"{self._name}-{name}.{kind}" for kind in ("pem", "key", "both.pem")))
        request = str(made.file.with_suffix(".csr"))
        subject = ["-subj", f"/CN={name}", "-addext", f"subjectAltName={alternative}"]
        _openssl("req", "-new", *_CURVE, *subject, "-keyout", str(made.key_file), "-out", request)
        _openssl(
            *("x509", "-req", "-in", request, "-CA", str(self.file), "-CAkey", str(self._key_file), "-CAcreateserial"),
            *("-copy_extensions", "copy", "-days", str(days), "-out", str(made.file)),
        )
        made.both.write_text(made.key_file.read_text() + made.file.read_text())
        return made


def make_certificate(directory: Path) -> Certificate:
    """Make one for the name `test` in `directory`."""
    made = Certificate(*(directory / name for name in ("cert.pem", "key.pem", "encrypted.pem", "foreign.pem")))
    for key_file, file in ((made.foreign_key_file, directory / "foreign-cert.pem"), (made.key_file, made.file)):
        _openssl("req", "-x509", *_CURVE, "-subj", "/CN=test", "-keyout", str(key_file), "-out", str(file))
    _openssl(
        *("ec", "-in", str(made.key_file), "-out", str(made.encrypted_key_file), "-aes256", "-passout", "pass:secret")
    )
    return made


def _openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True, timeout=30)

"""Pairs of certificate and key for tests, as `init` makes them."""

import shutil
import ssl
from hashlib import sha256
from pathlib import Path

from smtpd_classic.server.self_signed import make_self_signed
from tests.once import made_once

__all__ = ["client_context", "kept_pair", "make_pair", "put_pair"]


def kept_pair(*names: str, number: int = 0) -> tuple[str, str]:
    """Return the certificate and the key of a run for these names, only to be read. Another number is another pair."""

    def make(folder: Path) -> None:
        make_self_signed(str(folder / "certificate.pem"), str(folder / "key.pem"), names)

    folder = made_once(f"pair-{sha256(repr(names).encode()).hexdigest()[:16]}-{number}", make)
    return str(folder / "certificate.pem"), str(folder / "key.pem")


def put_pair(certificate: Path | str, key: Path | str, *names: str, number: int = 0) -> None:
    """Put a pair into these files, where the owners of those that are there stay."""
    for path, kept in zip((certificate, key), kept_pair(*names, number=number), strict=True):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(kept, path)


def make_pair(folder: Path, *names: str, number: int = 0) -> tuple[Path, Path]:
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    put_pair(certificate, key, *(names or ("test.example", "127.0.0.1", "::1")), number=number)
    return certificate, key


def client_context(certificate: Path) -> ssl.SSLContext:
    """One that takes this certificate and no other."""
    return ssl.create_default_context(cafile=certificate)

"""Pairs of certificate and key for tests, as `init` makes them."""

import ssl
from pathlib import Path

from smtpd_classic.server.self_signed import make_self_signed

__all__ = ["client_context", "make_pair"]


def make_pair(folder: Path, *names: str) -> tuple[Path, Path]:
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    folder.mkdir(parents=True, exist_ok=True)
    make_self_signed(str(certificate), str(key), names or ("test.example", "127.0.0.1", "::1"))
    return certificate, key


def client_context(certificate: Path) -> ssl.SSLContext:
    """One that takes this certificate and no other."""
    return ssl.create_default_context(cafile=certificate)

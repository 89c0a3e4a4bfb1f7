"""The certificate that this server makes for itself where the administrator gives none.

It is RSA, because many printers and older programs cannot verify ECDSA, and because DHE needs it. It is no CA, so that
a stolen key cannot sign other certificates.
"""

import os
import socket
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import TYPE_CHECKING

from smtpd_classic.atomic_file import draft_of, sweep
from smtpd_classic.domain_name import ascii_domain
from smtpd_classic.server.tls import CertificateProblem

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

__all__ = ["DAYS", "RENEW_DAYS", "is_self_made", "make_self_signed", "renew_self_signed", "signs_itself"]

DAYS = 820  # mail programs of Apple refuse more than 825
RENEW_DAYS = 30
_MAKER = "smtpd-classic (self-signed)"
_SLACK = timedelta(hours=1)  # for clients with a slow clock


def make_self_signed(certificate: str, private_key: str, names: tuple[str, ...]) -> None:
    """Make a key and a certificate for `names` that signs itself. Raises CertificateProblem.

    Clients cannot verify it, but it protects against listeners, and other servers do not ask for more.
    """
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415  # slow to import, and seldom needed
    from cryptography.hazmat.primitives.asymmetric import rsa  # noqa: PLC0415

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    try:
        for path in (certificate, private_key):
            os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
        _write(private_key, pem, 0o600)
        _write(certificate, _signed(key, names, datetime.now(UTC)), 0o644)
    except OSError as problem:
        raise CertificateProblem(f"A self-signed certificate cannot be made: {problem}.") from None


def renew_self_signed(certificate: str, private_key: str, now: float) -> bool:
    """Renew a certificate of `make_self_signed` in its last 30 days; return whether it was. Raises CertificateProblem.

    The key stays, so that only one file is replaced, and TLSA records of the key stay true.
    """
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import rsa  # noqa: PLC0415

    found = _read(certificate)
    moment = datetime.fromtimestamp(now, UTC)
    if found is None or not _is_ours(found) or _end(found) - moment > timedelta(days=RENEW_DAYS):
        return False
    try:
        with open(private_key, "rb") as file:
            key = serialization.load_pem_private_key(file.read(), None)
        if not isinstance(key, rsa.RSAPrivateKey):
            return False
        _write(certificate, _signed(key, _names(found), moment), 0o644)
    except OSError as problem:
        raise CertificateProblem(
            f"The self-signed certificate in {certificate} expires soon and cannot be renewed: {problem.strerror}. "
            "A restart as root renews it."
        ) from None
    except (TypeError, ValueError):
        return False
    return True


def is_self_made(certificate: str) -> bool:
    """Return True for a certificate of `make_self_signed`."""
    found = _read(certificate)
    return found is not None and _is_ours(found)


def signs_itself(certificate: str) -> bool:
    """Return True for a certificate without an issuer besides itself."""
    found = _read(certificate)
    return found is not None and found.issuer == found.subject


def _signed(key: "RSAPrivateKey", names: Iterable[str], now: datetime) -> bytes:
    """Return a new certificate in PEM form."""
    from cryptography import x509  # noqa: PLC0415
    from cryptography.hazmat.primitives import hashes, serialization  # noqa: PLC0415
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID  # noqa: PLC0415

    names = tuple(dict.fromkeys(each if _is_ip(each) else ascii_domain(each) for each in names))
    subject = x509.Name(
        (
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, _MAKER),
            x509.NameAttribute(NameOID.COMMON_NAME, names[0][:64]),
        )
    )
    alternatives = [x509.IPAddress(ip_address(each)) if _is_ip(each) else x509.DNSName(each) for each in names]
    usage = x509.KeyUsage(True, False, True, False, False, False, False, False, False)
    public = key.public_key()
    made = (
        x509.CertificateBuilder(subject, subject, public, x509.random_serial_number())
        .not_valid_before(now - _SLACK)
        .not_valid_after(now - _SLACK + timedelta(days=DAYS))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage((ExtendedKeyUsageOID.SERVER_AUTH,)), critical=False)
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(public), critical=False)
        .sign(key, hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.PEM)


def _write(path: str, content: bytes, mode: int) -> None:
    """Replace a file in one step; a new one belongs to the owner of the old one where that is allowed."""
    draft = draft_of(path)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with open(descriptor, "wb") as file:
            file.write(content)
            os.fchmod(file.fileno(), mode)
            with suppress(OSError):
                before = os.stat(path)
                os.fchown(file.fileno(), before.st_uid, before.st_gid)
            os.fsync(file.fileno())
        os.rename(draft, path)
    except OSError:
        with suppress(OSError):
            os.unlink(draft)
        raise
    sweep(os.path.dirname(path))


def _read(certificate: str) -> "x509.Certificate | None":
    from cryptography import x509  # noqa: PLC0415

    try:
        with open(certificate, "rb") as file:
            return x509.load_pem_x509_certificate(file.read(1 << 20))
    except (OSError, ValueError):
        return None


def _is_ours(found: "x509.Certificate") -> bool:
    from cryptography.x509.oid import NameOID  # noqa: PLC0415

    makers = [each.value for each in found.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)]
    return makers == [_MAKER] and found.issuer == found.subject


def _names(found: "x509.Certificate") -> tuple[str, ...]:
    from cryptography import x509  # noqa: PLC0415

    names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return tuple(str(each.value) for each in names)


def _end(found: "x509.Certificate") -> datetime:
    # `not_valid_after_utc` exists since cryptography 42, and the other form warns since then.
    aware: datetime | None = getattr(found, "not_valid_after_utc", None)
    return aware or found.not_valid_after.replace(tzinfo=UTC)


def _is_ip(name: str) -> bool:
    for family in (socket.AF_INET, socket.AF_INET6):
        with suppress(OSError):
            socket.inet_pton(family, name)
            return True
    return False

"""New private keys, and the DNS record of a key."""

import base64

from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

__all__ = ["ALGORITHMS", "make_key", "record_of"]

ALGORITHMS = ("rsa2048", "rsa3072", "ed25519")
_EXPONENT = 65537


def make_key(algorithm: str) -> bytes:
    """Return a new private key in PEM form (PKCS#8)."""
    if algorithm == "ed25519":
        key: ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey = ed25519.Ed25519PrivateKey.generate()
    else:
        key = rsa.generate_private_key(_EXPONENT, int(algorithm.removeprefix("rsa")))
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def record_of(pem: bytes) -> str:
    """Return the text of the TXT record for a private key in PEM form. Raises ValueError when it is none."""
    key = load_pem_private_key(pem, password=None)
    if isinstance(key, ed25519.Ed25519PrivateKey):
        kind, public = "ed25519", key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    elif isinstance(key, rsa.RSAPrivateKey):
        kind, public = "rsa", key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    else:
        raise ValueError("the key is neither RSA nor Ed25519")  # noqa: TRY004
    return f"v=DKIM1; k={kind}; p={base64.b64encode(public).decode('ascii')}"

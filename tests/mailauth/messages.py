"""Keys, messages and their verification, for the tests of DKIM."""

import base64
import functools
from collections.abc import Mapping, Sequence

from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from smtpd_classic.dns import FixedResolver
from smtpd_classic.mailauth.dkim_sign import SigningKey, sign
from smtpd_classic.mailauth.dkim_verify import DkimResult, DkimVerifier
from smtpd_classic.mailauth.lookup import Lookups

NOW = 1_790_000_000
HEADER = b"From: Ann <ann@example.org>\nTo: bob@example.net\nSubject: dinner\nDate: Fri, 11 Jul 2025 21:00:37 +0000\n"
BODY = b"Hi.\n\nAre you hungry yet?\n"


@functools.cache
def rsa_key(bits: int = 2048) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, bits)


@functools.cache
def ed25519_key() -> ed25519.Ed25519PrivateKey:
    return ed25519.Ed25519PrivateKey.generate()


def key_record(key: rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPublicKey, more: str = "") -> bytes:
    if isinstance(key, ed25519.Ed25519PrivateKey):
        kind, public = "ed25519", key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    else:
        whole = key if isinstance(key, rsa.RSAPublicKey) else key.public_key()
        kind, public = "rsa", whole.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return f"v=DKIM1; k={kind}; {more}p={base64.b64encode(public).decode()}".encode()


def pem(key: rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey, *, traditional: bool = False) -> bytes:
    form = PrivateFormat.TraditionalOpenSSL if traditional else PrivateFormat.PKCS8
    return key.private_bytes(Encoding.PEM, form, NoEncryption())


def signing_key(selector: str = "sel", domain: str = "example.org", *, ed: bool = False) -> SigningKey:
    return SigningKey(domain, selector, ed25519_key() if ed else rsa_key())


def records(*, ed: bool = False, more: str = "", selector: str = "sel") -> dict[str, Sequence[bytes] | Exception]:
    return {f"{selector}._domainkey.example.org": (key_record(ed25519_key() if ed else rsa_key(), more),)}


def signed(header: bytes = HEADER, body: bytes = BODY, *keys: SigningKey) -> bytes:
    return sign(header, [body], keys or [signing_key()], now=NOW) + header + b"\n" + body


def verify(
    message: bytes,
    txt: Mapping[str, Sequence[bytes] | Exception] | None = None,
    *,
    now: int = NOW,
    author: str = "example.org",
    piece: int = 0,
) -> tuple[DkimResult, ...]:
    """The results for a message with LF line ends; its body is given in pieces of `piece` octets."""
    message = message.replace(b"\r\n", b"\n")
    header, _, body = message.partition(b"\n\n")
    verifier = DkimVerifier(header + b"\n", now=now, author_domain=author)
    for at in range(0, len(body), piece or len(body) or 1):
        verifier.update(body[at : at + (piece or len(body))])
    return verifier.finish(Lookups(FixedResolver(txt=records() if txt is None else txt)))


def only(results: Sequence[DkimResult]) -> DkimResult:
    assert len(results) == 1, results
    return results[0]

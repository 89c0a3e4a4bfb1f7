"""The DKIM-Signature field of a message that leaves (RFC 6376 5, RFC 8463)."""

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from smtpd_classic.mailauth.body_hash import RELAXED, BodyHash
from smtpd_classic.mailauth.canonical import SignedField, canonical_field, choose_fields, group_fields, header_fields

__all__ = ["BadKey", "SigningKey", "load_signing_key", "sign", "signature_field"]

_SIGNED = (
    b"from sender reply-to to cc subject date message-id in-reply-to references mime-version content-type"
    b" content-transfer-encoding list-id list-unsubscribe list-unsubscribe-post"
).split()
_NONE_MAY_BE_ADDED = frozenset(b"from to cc subject date reply-to message-id".split())
_LINE = 76
_SHOWN = {name: f"{name.decode().title()}:" for name in _SIGNED} | {
    b"message-id": "Message-ID:",
    b"mime-version": "MIME-Version:",
}

PrivateKey = rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey


class BadKey(Exception):
    """The key file holds no key that can sign; `str()` says why."""


@dataclass(frozen=True)
class SigningKey:
    """One private key with its place in DNS, both in A-labels."""

    domain: str
    selector: str
    private: PrivateKey

    @property
    def algorithm(self) -> str:
        """The a= tag."""
        return "rsa-sha256" if isinstance(self.private, rsa.RSAPrivateKey) else "ed25519-sha256"

    def sign(self, data: bytes) -> bytes:
        """Return the signature of the canonical header."""
        if isinstance(self.private, rsa.RSAPrivateKey):
            return self.private.sign(data, padding.PKCS1v15(), SHA256())
        return self.private.sign(hashlib.sha256(data).digest())


def load_signing_key(pem: bytes, domain: str, selector: str) -> SigningKey:
    """Return the key in a PEM file. Raises BadKey."""
    try:
        key = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError) as problem:
        raise BadKey(f"no private key can be read: {problem}") from None
    except Exception as unknown:  # what an unknown kind of key raises depends on the release
        raise BadKey(f"the kind of key is not supported: {unknown}") from None
    if isinstance(key, (rsa.RSAPrivateKey, ed25519.Ed25519PrivateKey)):
        return SigningKey(domain, selector, key)
    raise BadKey("the key is neither RSA nor Ed25519")


def sign(header: bytes, body: Iterable[bytes], keys: Iterable[SigningKey], *, now: int) -> bytes:
    """Return one DKIM-Signature field for each key, with LF line ends, for the top of the message."""
    hashed = BodyHash(RELAXED)
    for piece in body:
        hashed.update(piece)
    digest = hashed.finish()
    return b"".join(signature_field(header, digest, key, now=now) for key in keys)


def signature_field(header: bytes, body_digest: bytes, key: SigningKey, *, now: int) -> bytes:
    """Return the field for one key. `header` is the block with LF line ends as it leaves."""
    groups = group_fields(header_fields(header))
    names = _signed_names(groups)
    listed = [_SHOWN[name] for name in names]
    listed[0] = f" h={listed[0]}"
    listed[-1] = listed[-1].replace(":", ";")
    pieces = ["v=1;", f" a={key.algorithm};", " c=relaxed/relaxed;", f" d={key.domain};", f" s={key.selector};"]
    pieces += [f" t={now};", *listed, f" bh={base64.b64encode(body_digest).decode()};", " b="]
    unsigned = b"DKIM-Signature: " + _folded(pieces).encode()
    data = b"".join([canonical_field(each, RELAXED) + b"\r\n" for each in choose_fields(groups, names)])
    data += canonical_field(SignedField(b"dkim-signature", unsigned), RELAXED)
    signature = base64.b64encode(key.sign(data)).decode()
    return unsigned + "".join(f"\n {signature[at : at + 72]}" for at in range(0, len(signature), 72)).encode() + b"\n"


def _signed_names(groups: Mapping[bytes, Sequence[SignedField]]) -> list[bytes]:
    """Return the names for h=: each as often as it is there, and once more where none may be added."""
    names: list[bytes] = []
    for name in _SIGNED:
        group = groups.get(name)
        if group is not None:
            names += [name] * len(group)
        if name in _NONE_MAY_BE_ADDED:
            names.append(name)
    return names


def _folded(pieces: Iterable[str]) -> str:
    """Return the pieces in lines that are not too long. A piece may begin with a blank, which is left out where it
    begins a line.
    """
    lines, line = [], ""
    room = _LINE - len("DKIM-Signature: ")
    for piece in pieces:
        if line and len(line) + len(piece) > room:
            lines.append(line)
            line, room = piece.lstrip(" "), _LINE
        else:
            line += piece
    return "\n ".join([*lines, line])

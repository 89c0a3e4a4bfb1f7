"""A DKIM key record in DNS (RFC 6376 3.6.1, RFC 8463), and the public key in it."""

import binascii
from functools import lru_cache
from typing import NamedTuple

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

from smtpd_classic.mailauth.dkim_signature import UnusableSignature
from smtpd_classic.mailauth.tag_list import BadTagList, decoded_base64, parse_tags
from smtpd_classic.mailauth.words import ResultWord

__all__ = ["KeyRecord", "parse_key_record"]

_LEAST_BITS, _MOST_BITS = 1024, 4096
_LONGEST_EXPONENT_BITS = 64
_LONGEST_RECORD = 8192
_KEPT_KEYS = 256
_PADDING, _HASHED = padding.PKCS1v15(), Prehashed(SHA256())
_PKCS1_PREFIX = bytes.fromhex("300d06092a864886f70d0101010500")

PublicKey = rsa.RSAPublicKey | ed25519.Ed25519PublicKey


class KeyRecord(NamedTuple):
    """One key record. `key_type` is “rsa” or “ed25519”; `public` is the p= tag, empty when the key is revoked."""

    key_type: str
    public: bytes
    hashes: tuple[str, ...] | None
    services: tuple[str, ...]
    flags: tuple[str, ...]

    @property
    def testing(self) -> bool:
        """True while the domain tries DKIM (t=y)."""
        return "y" in self.flags

    @property
    def strict(self) -> bool:
        """True when i= must be exactly d= (t=s)."""
        return "s" in self.flags

    def public_key(self) -> PublicKey:
        """Return the key. Raises UnusableSignature with the result that a signature by it has."""
        if not self.public:
            raise UnusableSignature(ResultWord.PERMERROR, "the key is revoked")
        if self.key_type == "ed25519":
            return _ed25519(self.public)
        return _rsa(self.public)

    def verifies(self, signature: bytes, digest: bytes) -> bool:
        """Return whether the signature is one of the data whose SHA-256 is `digest`. Raises UnusableSignature."""
        key = self.public_key()
        try:
            if isinstance(key, ed25519.Ed25519PublicKey):
                key.verify(signature, digest)  # RFC 8463 3: PureEdDSA over the hash
            else:
                key.verify(signature, digest, _PADDING, _HASHED)
        except InvalidSignature:
            return False
        return True


@lru_cache(_KEPT_KEYS)
def _ed25519(public: bytes) -> ed25519.Ed25519PublicKey:
    try:
        return ed25519.Ed25519PublicKey.from_public_bytes(public)
    except (ValueError, UnsupportedAlgorithm):
        raise UnusableSignature(ResultWord.PERMERROR, "the key is not an Ed25519 key") from None


@lru_cache(_KEPT_KEYS)
def _rsa(public: bytes) -> rsa.RSAPublicKey:
    """Return the RSA key in a SubjectPublicKeyInfo, or in the bare RSAPublicKey that some domains publish."""
    for encoded in (public, _wrapped(public)):
        try:
            key = load_der_public_key(encoded)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            continue
        if isinstance(key, rsa.RSAPublicKey):
            return _of_good_size(key)
        break
    raise UnusableSignature(ResultWord.PERMERROR, "the key is not an RSA key")


def _of_good_size(key: rsa.RSAPublicKey) -> rsa.RSAPublicKey:
    if key.key_size < _LEAST_BITS:
        raise UnusableSignature(ResultWord.PERMERROR, f"the key has only {key.key_size} bits (RFC 8301)")
    if key.key_size > _MOST_BITS or key.public_numbers().e.bit_length() > _LONGEST_EXPONENT_BITS:
        raise UnusableSignature(ResultWord.POLICY, f"the key has more than {_MOST_BITS} bits")
    return key


def _wrapped(public: bytes) -> bytes:
    bits = _der(0x03, b"\x00" + public)
    return _der(0x30, _PKCS1_PREFIX + bits)


def _der(tag: int, value: bytes) -> bytes:
    if len(value) < 0x80:
        return bytes((tag, len(value))) + value
    length = len(value).to_bytes((len(value).bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + value


@lru_cache(_KEPT_KEYS)
def parse_key_record(record: bytes) -> KeyRecord:
    """Return the key record in a TXT record. Raises BadTagList when it is none."""
    if len(record) > _LONGEST_RECORD:
        raise BadTagList("the key record is too long")
    try:
        text = record.decode("utf-8")
    except UnicodeDecodeError:
        raise BadTagList("the key record is not text") from None
    tags = parse_tags(text)
    if "v" in tags and (tags["v"] != "DKIM1" or next(iter(tags)) != "v"):
        raise BadTagList("the version of the key record is not DKIM1")
    if "p" not in tags:
        raise BadTagList("the key record has no p= tag")
    key_type = (tags.get("k") or "rsa").lower()
    if key_type not in {"rsa", "ed25519"}:
        raise BadTagList("the key type is unknown")
    hashes = _list(tags["h"]) if "h" in tags else None
    return KeyRecord(key_type, _public(tags["p"]), hashes, _list(tags.get("s") or "*"), _list(tags.get("t", "")))


def _public(value: str) -> bytes:
    try:
        return decoded_base64(value)
    except (BadTagList, binascii.Error):
        raise BadTagList("p= is not base64") from None


def _list(value: str) -> tuple[str, ...]:
    return tuple(part.strip(" \t\r\n").lower() for part in value.split(":"))

"""SCRAM-SHA-256 (RFC 5802, RFC 7677), both sides, without channel binding.

The keys of the server do not suffice for a login, and the client verifies that the server knows the password too.
"""

import hashlib
import hmac
import secrets
import stringprep
import unicodedata
from base64 import b64decode, b64encode
from collections.abc import Callable, Generator
from typing import Final, Protocol

from smtpd_classic.smtp.exchange import BadChallenge, Challenge, Failure, Step, Success

__all__ = ["ScramKeys", "ScramSha256", "saslprep", "scram_sha_256"]

_NONCE_OCTETS = 18
_FAKE_ITERATIONS: Final = 4096
_MOST_ITERATIONS: Final = 1_000_000  # a hostile server could keep a client busy for hours
_LEAST_ITERATIONS: Final = 4096  # RFC 7677 4
_SECRET: Final = secrets.token_bytes(32)
_PROHIBITED: tuple[Callable[[str], bool], ...] = (
    stringprep.in_table_c12,
    stringprep.in_table_c21_c22,
    stringprep.in_table_c3,
    stringprep.in_table_c4,
    stringprep.in_table_c5,
    stringprep.in_table_c6,
    stringprep.in_table_c7,
    stringprep.in_table_c8,
    stringprep.in_table_c9,
)


class ScramKeys(Protocol):
    """The keys that the server stores in place of a password."""

    @property
    def salt(self) -> bytes: ...
    @property
    def iterations(self) -> int: ...
    @property
    def stored_key(self) -> bytes: ...
    @property
    def server_key(self) -> bytes: ...


class ScramSha256:
    """The server's side. `lookup` returns the keys of a login name, None if it cannot log in.

    An unknown name gets the same challenges as a known one, with a salt made from `secret`, and fails at the end.
    """

    def __init__(self, lookup: Callable[[str], ScramKeys | None], *, secret: bytes = _SECRET, nonce: str = "") -> None:
        self._lookup = lookup
        self._secret = secret
        self._nonce = nonce or secrets.token_urlsafe(_NONCE_OCTETS)
        self._next = self._first
        self._login = self._authzid = self._header = self._bare = self._question = ""
        self._keys: ScramKeys | None = None

    def step(self, response: bytes | None) -> Step:
        if response is None:
            return Challenge(b"")  # the client speaks first
        try:
            return self._next(response.decode())
        except ValueError:  # not UTF-8, not base64, or against the grammar of RFC 5802 7
            return Failure(self._login, malformed=True)

    def cancel(self) -> None:
        """Do nothing: no other program takes part."""

    def _first(self, message: str) -> Step:
        binding, authzid, bare = message.split(",", 2)
        if binding not in {"n", "y"} or authzid[:2] not in {"", "a="}:
            raise ValueError("channel binding was not offered")
        self._header, self._bare = f"{binding},{authzid},", bare
        name, nonce, *_ = bare.split(",")
        self._login, self._authzid = _from_saslname(_value(name, "n")), _from_saslname(authzid[2:])
        self._nonce = _value(nonce, "r") + self._nonce
        self._keys = self._lookup(self._login)
        salt, iterations = hmac.digest(self._secret, self._login.encode(), "sha256")[:16], _FAKE_ITERATIONS
        if self._keys is not None:
            salt, iterations = self._keys.salt, self._keys.iterations
        self._question = f"r={self._nonce},s={b64encode(salt).decode()},i={iterations}"
        self._next = self._final
        return Challenge(self._question.encode())

    def _final(self, message: str) -> Step:
        without_proof, _, proof = message.rpartition(",")
        binding, nonce, *_ = without_proof.split(",")
        client_proof = b64decode(_value(proof, "p"), validate=True)
        if b64decode(_value(binding, "c"), validate=True) != self._header.encode() or _value(nonce, "r") != self._nonce:
            return Failure(self._login)
        if self._keys is None:
            return Failure(self._login)
        auth_message = f"{self._bare},{self._question},{without_proof}".encode()
        signature = hmac.digest(self._keys.stored_key, auth_message, "sha256")
        client_key = _xor(client_proof, signature)
        if not hmac.compare_digest(hashlib.sha256(client_key).digest(), self._keys.stored_key):
            return Failure(self._login)
        self._next = self._end
        return Challenge(b"v=" + b64encode(hmac.digest(self._keys.server_key, auth_message, "sha256")))

    def _end(self, message: str) -> Step:
        return Failure(self._login, malformed=True) if message else Success(self._login, self._authzid)


def scram_sha_256(login: str, password: str, *, nonce: str = "") -> Generator[bytes, bytes, None]:
    """Yield the client's messages, as in `sasl`. Raises BadChallenge if the server does not know the password."""
    bare = f"n={_saslname(saslprep(login))},r={nonce or secrets.token_urlsafe(_NONCE_OCTETS)}"
    question = _text((yield f"n,,{bare}".encode()))
    try:
        parts = zip(question.split(",")[:3], "rsi", strict=True)
        server_nonce, salt, iterations = (_value(part, name) for part, name in parts)
        salt_octets, rounds = b64decode(salt, validate=True), int(iterations)
    except ValueError:
        raise BadChallenge("the server's first SCRAM message cannot be read") from None
    if not server_nonce.startswith(bare.partition(",r=")[2]) or not _LEAST_ITERATIONS <= rounds <= _MOST_ITERATIONS:
        raise BadChallenge("the server's first SCRAM message is not acceptable")
    without_proof = f"c={b64encode(b'n,,').decode()},r={server_nonce}"
    auth_message = f"{bare},{question},{without_proof}".encode()
    salted = hashlib.pbkdf2_hmac("sha256", saslprep(password).encode(), salt_octets, rounds)
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    signature = hmac.digest(hashlib.sha256(client_key).digest(), auth_message, "sha256")
    verdict = yield f"{without_proof},p={b64encode(_xor(client_key, signature)).decode()}".encode()
    expected = hmac.digest(hmac.digest(salted, b"Server Key", "sha256"), auth_message, "sha256")
    if not hmac.compare_digest(verdict, b"v=" + b64encode(expected)):
        raise BadChallenge("the server does not know the password")
    yield b""


def saslprep(text: str) -> str:
    """Return the text prepared by RFC 4013, as for a query. Prohibited text is unchanged: the server decides whether it
    fits."""
    if text.isascii():
        return text
    mapped = "".join(
        " " if stringprep.in_table_c12(char) else char for char in text if not stringprep.in_table_b1(char)
    )
    prepared = unicodedata.normalize("NFKC", mapped)
    return text if any(prohibits(char) for char in prepared for prohibits in _PROHIBITED) else prepared


def _value(part: str, name: str) -> str:
    if not part.startswith(f"{name}=") or len(part) <= 2:
        raise ValueError(f"{name}= is missing")
    return part[2:]


def _saslname(text: str) -> str:
    return text.replace("=", "=3D").replace(",", "=2C")


def _from_saslname(text: str) -> str:
    name = text.replace("=2C", ",").replace("=3D", "=")
    if _saslname(name) != text:
        raise ValueError("an escape is wrong")
    return name


def _text(challenge: bytes) -> str:
    try:
        return challenge.decode()
    except UnicodeDecodeError:
        raise BadChallenge("the server's SCRAM message is not UTF-8") from None


def _xor(left: bytes, right: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(left, right, strict=True))

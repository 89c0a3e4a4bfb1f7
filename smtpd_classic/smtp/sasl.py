"""SASL mechanisms, both sides (RFC 4422, as RFC 4954 uses them). All octets here are without base64.

Each mechanism of the server is a class; `step()` takes the client's response, None if AUTH came without one, and
returns the next step.

Each mechanism of the client is a generator. `next()` returns the initial response, or None if the server speaks first;
`send()` takes a challenge and returns the response to it. The generator ends when the server should have decided, and
raises BadChallenge when the login must be given up.
"""

from collections.abc import Generator
from typing import Protocol

from smtpd_classic.smtp.exchange import BadChallenge, Challenge, Credentials, Failure, Step, Success
from smtpd_classic.smtp.scram import ScramKeys, ScramSha256, scram_sha_256

__all__ = [
    "BadChallenge",
    "Challenge",
    "Credentials",
    "Failure",
    "LoginMechanism",
    "PlainMechanism",
    "ScramKeys",
    "ScramSha256",
    "ServerMechanism",
    "Step",
    "Success",
    "login",
    "plain",
    "scram_sha_256",
    "xoauth2",
]

_BEHIND_A_NAME = " \t\r\n"  # some programs and devices add it
Client = Generator[bytes | None, bytes, None]


class ServerMechanism(Protocol):
    """The server's side of one exchange. `cancel()` ends one that the client has given up."""

    def step(self, response: bytes | None) -> Step: ...
    def cancel(self) -> None: ...


class PlainMechanism:
    """The PLAIN mechanism (RFC 4616): `authzid NUL login NUL password`."""

    def step(self, response: bytes | None) -> Step:
        if response is None:
            return Challenge(b"")
        parts = response.split(b"\0")
        try:
            authzid, name, password = (part.decode() for part in parts)
        except ValueError:
            return Failure(malformed=True)
        name, authzid = name.rstrip(_BEHIND_A_NAME), authzid.rstrip(_BEHIND_A_NAME)
        return Credentials(name, password, authzid) if name and password else Failure(name, malformed=True)

    def cancel(self) -> None:
        """Do nothing: no other program takes part."""


class LoginMechanism:
    """The LOGIN mechanism of old mail programs, never a standard. Some send the user name as the initial response."""

    def __init__(self) -> None:
        self._name: str | None = None

    def step(self, response: bytes | None) -> Step:
        if response is None:
            return Challenge(b"Username:")
        try:
            text = response.decode()
        except UnicodeDecodeError:
            return Failure(self._name or "", malformed=True)
        if self._name is None:
            self._name = text = text.rstrip(_BEHIND_A_NAME)
            return Challenge(b"Password:") if text else Failure(malformed=True)
        return Credentials(self._name, text) if text else Failure(self._name, malformed=True)

    def cancel(self) -> None:
        """Do nothing: no other program takes part."""


def plain(user: str, password: str) -> Client:
    yield f"\0{user}\0{password}".encode()


def login(user: str, password: str) -> Client:
    """Yield the responses of LOGIN. The text of the challenges differs between servers, so it is ignored."""
    yield None
    yield user.encode()
    yield password.encode()


def xoauth2(user: str, token: str) -> Client:
    """Yield the responses of Google's and Microsoft's XOAUTH2. A refusal is a challenge that needs an empty response
    before the 535."""
    yield f"user={user}\x01auth=Bearer {token}\x01\x01".encode()
    yield b""

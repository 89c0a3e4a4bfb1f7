"""SASL mechanisms, both sides (RFC 4422, as RFC 4954 uses them). All octets here are without base64.

The server's: a class each; `step()` takes the client's response, None when AUTH came without one, and says what next.

The client's: a generator each. `next()` gives the initial response, or None where the server speaks first; `send()`
takes a challenge and gives the response to it. It is at its end when the server should have made up its mind, and
raises BadChallenge when the login must be given up.
"""

from collections.abc import Generator

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
    "Step",
    "Success",
    "login",
    "plain",
    "scram_sha_256",
    "xoauth2",
]

_BEHIND_A_NAME = " \t\r\n"  # some programs and devices put it there
Client = Generator[bytes | None, bytes, None]


class PlainMechanism:
    """RFC 4616: `authzid NUL login NUL password`."""

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


class LoginMechanism:
    """Never a standard; what old mail programs speak. Some send the user name as the initial response."""

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


def plain(user: str, password: str) -> Client:
    yield f"\0{user}\0{password}".encode()


def login(user: str, password: str) -> Client:
    """The challenges are a matter of taste and not looked at."""
    yield None
    yield user.encode()
    yield password.encode()


def xoauth2(user: str, token: str) -> Client:
    """Google's and Microsoft's; a refusal comes as a challenge that wants an empty response before the 535."""
    yield f"user={user}\x01auth=Bearer {token}\x01\x01".encode()
    yield b""

"""The results of one step of a login (RFC 4422)."""

from typing import NamedTuple

__all__ = ["BadChallenge", "Challenge", "Credentials", "Failure", "Step", "Success"]


class Challenge(NamedTuple):
    """A challenge. Send it as a 334, and call `step()` with the response."""

    data: bytes


class Credentials(NamedTuple):
    """A password to check. `authzid` is the authorisation identity that the client asks for, blank for its own."""

    login: str
    password: str
    authzid: str = ""

    def __repr__(self) -> str:
        return f"Credentials(login={self.login!r})"


class Success(NamedTuple):
    login: str
    authzid: str = ""


class Failure(NamedTuple):
    """A failed login. `malformed`: the client does not follow the mechanism; else the password is wrong or the login
    unknown."""

    login: str = ""
    malformed: bool = False


Step = Challenge | Credentials | Success | Failure


class BadChallenge(Exception):
    """Raised if a challenge is invalid, or shows that the server is not the expected one; give up the login."""

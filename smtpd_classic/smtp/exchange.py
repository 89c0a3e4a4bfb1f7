"""What a step of a login may come to (RFC 4422)."""

from typing import NamedTuple

__all__ = ["BadChallenge", "Challenge", "Credentials", "Failure", "Step", "Success"]


class Challenge(NamedTuple):
    """Send it as a 334 and step on with the response."""

    data: bytes


class Credentials(NamedTuple):
    """A password to check. `authzid`: as whom the client wants to act, blank for itself."""

    login: str
    password: str
    authzid: str = ""

    def __repr__(self) -> str:
        return f"Credentials(login={self.login!r})"


class Success(NamedTuple):
    login: str
    authzid: str = ""


class Failure(NamedTuple):
    """`malformed`: the client does not speak the mechanism; else the password is wrong or the login unknown."""

    login: str = ""
    malformed: bool = False


Step = Challenge | Credentials | Success | Failure


class BadChallenge(Exception):
    """What a server asks makes no sense, or proves that it is not the one it claims to be; give up the login."""

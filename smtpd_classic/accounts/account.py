"""The records of this package: what an account is, and what became of an address."""

from dataclasses import dataclass, field
from typing import NamedTuple

__all__ = [
    "DISABLED",
    "NORMAL",
    "STATUSES",
    "SUSPENDED",
    "Account",
    "AccountsUnreadable",
    "ResolvedAddress",
    "StoredScramKeys",
]

NORMAL, DISABLED, SUSPENDED = "normal", "disabled", "suspended"
STATUSES = (NORMAL, DISABLED, SUSPENDED)


@dataclass(frozen=True, slots=True)
class Account:
    """A mailbox with a password.

    `status`: a disabled account gets no mail and cannot log in, a suspended one gets mail and cannot log in. `quota`
    is in bytes, 0 for none. `folder` is the absolute name of the Maildir. `forward_only`: an alias of the same name
    takes the place of the mailbox.
    """

    address: str
    full_name: str = ""
    password: str = field(default="", repr=False)
    status: str = NORMAL
    quota: int = 0
    may_send_as: tuple[str, ...] = ()
    folder: str = ""
    forward_only: bool = False


class ResolvedAddress(NamedTuple):
    """Whom an address of ours stands for.

    `how` is "account", "alias", "plus address", "catch-all" or "postmaster". `targets` are the addresses of accounts,
    with the tag of a plus-address kept (user+tag@domain), and remote addresses: aliases expanded, in order, none twice.
    """

    how: str
    targets: tuple[str, ...]


class StoredScramKeys(NamedTuple):
    """What SCRAM-SHA-256 stores in place of a password (RFC 5802 3)."""

    salt: bytes
    iterations: int
    stored_key: bytes
    server_key: bytes


class AccountsUnreadable(Exception):
    """The users or aliases file is broken, and nothing before it is known that could say whether the address exists.

    Whoever asks defers (invariant 9): the address may be on the very line that cannot be read.
    """

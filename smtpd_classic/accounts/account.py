"""The records of this package: accounts, and resolved addresses."""

from dataclasses import dataclass, field
from typing import NamedTuple

__all__ = [
    "DISABLED",
    "NORMAL",
    "STATUSES",
    "SUSPENDED",
    "Account",
    "AccountsUnreadable",
    "LoginCircumstances",
    "ResolvedAddress",
    "StoredScramKeys",
]

NORMAL, DISABLED, SUSPENDED = "normal", "disabled", "suspended"
STATUSES = (NORMAL, DISABLED, SUSPENDED)


@dataclass(frozen=True, slots=True)
class Account:
    """A mailbox with a password.

    `status`: a disabled account gets no mail and cannot log in, a suspended one gets mail and cannot log in. `quota`
    is in bytes, 0 for none. `folder` is the absolute name of the Maildir, blank for a mailbox of an LMTP server.
    `forward_only`: an alias of the same name takes the place of the mailbox. `junk_folder` is the setting of the
    account, blank for that of the server; `junk_maildir` is the Maildir that follows from it: that of the mailbox for
    the inbox. `counts_junk`: junk counts against the quota too.
    """

    address: str
    full_name: str = ""
    password: str = field(default="", repr=False)
    status: str = NORMAL
    quota: int = 0
    may_send_as: tuple[str, ...] = ()
    folder: str = ""
    forward_only: bool = False
    junk_folder: str = ""
    junk_maildir: str = ""
    counts_junk: bool = False

    @property
    def uncounted_maildir(self) -> str:
        """Return the Maildir whose mail does not count against the quota, blank for none."""
        return "" if self.counts_junk else self.junk_maildir

    @property
    def mail_place(self) -> str:
        """Return the place of its mail, for a sentence."""
        return self.folder or "the LMTP server of its domain"


class ResolvedAddress(NamedTuple):
    """The targets of an address of a local domain.

    `how` is "account", "group", "group bounces", "alias", "plus address", "catch-all", "postmaster" or "reports".
    `targets` are the addresses of accounts, with the tag of a plus-address kept (user+tag@domain), and remote
    addresses: aliases expanded, in order, none twice. `groups` are the groups among the ends, which are not expanded.
    """

    how: str
    targets: tuple[str, ...]
    groups: tuple[str, ...] = ()


class StoredScramKeys(NamedTuple):
    """The keys that SCRAM-SHA-256 stores in place of a password (RFC 5802 3)."""

    salt: bytes
    iterations: int
    stored_key: bytes
    server_key: bytes


class LoginCircumstances(NamedTuple):
    """The connection of a client that logs in; the fields of TLS are blank without it."""

    client_ip: str = ""
    client_port: int = 0
    server_ip: str = ""
    tls_version: str = ""
    tls_cipher: str = ""
    tls_bits: int = 0


class AccountsUnreadable(Exception):
    """Raised when the users or aliases file is broken and no earlier good copy of it exists, or Dovecot is silent.

    The caller defers (invariant 9): the address may be on the very line that cannot be read.
    """

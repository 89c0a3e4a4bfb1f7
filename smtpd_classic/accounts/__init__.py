"""Who may log in, which addresses each owns, the Maildir each names; aliases."""

from smtpd_classic.accounts.account import (
    DISABLED,
    NORMAL,
    STATUSES,
    SUSPENDED,
    Account,
    AccountsUnreadable,
    Found,
    ScramKeys,
)
from smtpd_classic.accounts.accounts import Accounts

__all__ = [
    "DISABLED",
    "NORMAL",
    "STATUSES",
    "SUSPENDED",
    "Account",
    "Accounts",
    "AccountsUnreadable",
    "Found",
    "ScramKeys",
]

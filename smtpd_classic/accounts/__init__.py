"""Who may log in, which addresses each owns, the Maildir each names; aliases."""

from smtpd_classic.accounts.account import (
    DISABLED,
    NORMAL,
    STATUSES,
    SUSPENDED,
    Account,
    AccountsUnreadable,
    LoginCircumstances,
    ResolvedAddress,
    StoredScramKeys,
)
from smtpd_classic.accounts.accounts import Accounts
from smtpd_classic.accounts.edit_accounts import (
    add_account,
    add_accounts,
    change_account,
    delete_account,
    list_accounts,
    the_account,
)
from smtpd_classic.accounts.edit_aliases import add_aliases, delete_alias, list_aliases, set_alias
from smtpd_classic.accounts.edit_forward import Forwarding, forwarding, set_forwarding
from smtpd_classic.accounts.locked_file import AccountsElsewhere, EditRefused, NotThere
from smtpd_classic.accounts.passwords import generate_password, hash_password, scram_hash
from smtpd_classic.accounts.weakness import weakness

__all__ = [
    "DISABLED",
    "NORMAL",
    "STATUSES",
    "SUSPENDED",
    "Account",
    "Accounts",
    "AccountsElsewhere",
    "AccountsUnreadable",
    "EditRefused",
    "Forwarding",
    "LoginCircumstances",
    "NotThere",
    "ResolvedAddress",
    "StoredScramKeys",
    "add_account",
    "add_accounts",
    "add_aliases",
    "change_account",
    "delete_account",
    "delete_alias",
    "forwarding",
    "generate_password",
    "hash_password",
    "list_accounts",
    "list_aliases",
    "scram_hash",
    "set_alias",
    "set_forwarding",
    "the_account",
    "weakness",
]

"""Reads and changes the forwarding of an account: an alias of its own name, and one field of its line.

`ann@example.org: ann@example.org, else@where` keeps a copy in the mailbox. Without the mailbox among the targets the
line of the account says `userdb_smtpd_forward_only=yes`. The two files are changed one after the other, in the order
in which a crash between the steps leaves the mail in the mailbox.
"""

from collections.abc import Sequence
from typing import NamedTuple

from smtpd_classic.accounts.account import Account
from smtpd_classic.accounts.address import domain_table
from smtpd_classic.accounts.book import address_book
from smtpd_classic.accounts.checks import load_aliases, load_users
from smtpd_classic.accounts.edit_accounts import change_account, the_account
from smtpd_classic.accounts.edit_aliases import delete_alias, set_alias
from smtpd_classic.accounts.locked_file import EditRefused
from smtpd_classic.accounts.resolution import AddressBook
from smtpd_classic.config.schema import Config
from smtpd_classic.smtp.address import split_address

__all__ = ["Forwarding", "forwarding", "set_forwarding"]


class Forwarding(NamedTuple):
    """The addresses that get the mail of an account. `keep`: the mailbox gets it too.

    Without targets the mailbox always keeps its mail.
    """

    targets: tuple[str, ...] = ()
    keep: bool = True


def forwarding(config: Config, address: str) -> Forwarding:
    """Return where the mail of an account is forwarded to. Raises NotThere."""
    account = the_account(config, address)
    found = _book(config).forwards(account.address)
    if found is None:
        return Forwarding()
    others = tuple(target for target in found if target != account.address)
    return Forwarding(others, account.address in found) if others else Forwarding()


def set_forwarding(config: Config, address: str, targets: Sequence[str], *, keep: bool) -> None:
    """Forward the mail of an account to these addresses, or to none: then the mailbox alone gets it.

    Raises EditRefused, NotThere or OSError; nothing has changed then.
    """
    account = the_account(config, address)
    table = domain_table(config)
    others = [each for each in targets if table.canonical(each.removeprefix("\\")) != account.address]
    keep = keep or not others or len(others) < len(targets)
    key = _key(config, account.address)
    marked = account.forward_only
    if not others:
        _mark(config, account, forward_only=False)
        if _book(config).forwards(account.address) is not None or (marked and _has_alias(config, key)):
            delete_alias(config, key)
        return
    if not keep:
        _mark(config, account, forward_only=True)
    try:
        set_alias(config, key, [*([account.address] if keep else []), *others])
    except EditRefused:
        if not marked:
            change_account(config, account.address, forward_only=False)
        raise
    if keep:
        _mark(config, account, forward_only=False)


def _mark(config: Config, account: Account, *, forward_only: bool) -> None:
    if account.forward_only != forward_only:
        change_account(config, account.address, forward_only=forward_only)


def _has_alias(config: Config, key: str) -> bool:
    return key in load_aliases(config, domain_table(config)).targets


def _book(config: Config) -> AddressBook:
    table = domain_table(config)
    users, aliases = load_users(config, table), load_aliases(config, table)
    return address_book(config, table, users._replace(whole=True), aliases._replace(whole=True))


def _key(config: Config, address: str) -> str:
    """Return the name of the alias to change: the account's address, unless an alias of every domain forwards it."""
    table = domain_table(config)
    aliases = load_aliases(config, table)
    local = split_address(address)[0]
    if address in aliases.targets or _book(config).forwards(address) is None:
        return address
    if len(table.names) == 1:
        return local
    raise EditRefused(
        f"the alias {local} forwards the mail of {address}, and stands for every local domain; "
        f"“smtpd-classic alias” changes it."
    )

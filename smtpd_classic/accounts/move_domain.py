"""Moves the first account, with root and postmaster, from one primary domain to another.

A package makes a first account in a domain that it guessed. When the administrator names the right one, the account,
the aliases that lead to it and its Maildir go along.
"""

import os
from collections.abc import Callable

from smtpd_classic import atomic_file
from smtpd_classic.accounts.address import domain_table
from smtpd_classic.accounts.aliases import AliasLine, format_alias, parse_aliases
from smtpd_classic.accounts.checks import load_aliases, load_users
from smtpd_classic.accounts.directory import IN_DOVECOT
from smtpd_classic.accounts.locked_file import EditRefused, change_file
from smtpd_classic.config.schema import Config
from smtpd_classic.smtp.address import split_address

__all__ = ["first_account", "move_first_account", "staying_addresses"]

_MOVED_NAMES = {"root", "postmaster", "abuse", "hostmaster", "webmaster"}


def first_account(config: Config) -> str:
    """Return the first account of the users file if it is in the primary domain, else a blank."""
    accounts = load_users(config, domain_table(config)).accounts
    first = next(iter(accounts), "")
    return first if split_address(first)[1] == config.server.primary_domain else ""


def staying_addresses(config: Config) -> list[str]:
    """Return the addresses that keep the primary domain when it changes, in words for accounts that Dovecot knows."""
    table, domain = domain_table(config), config.server.primary_domain
    elsewhere = [f"the accounts of {domain} in Dovecot"] if config.server.accounts == IN_DOVECOT else []
    accounts = [each for each in load_users(config, table).accounts if each != first_account(config)]
    aliases = [each for each in load_aliases(config, table).targets if split_address(each)[0] not in _MOVED_NAMES]
    named = [*accounts, *aliases, *(table.canonical(each.name) for each in config.groups)]
    return [*elsewhere, *(each for each in named if split_address(each)[1] == domain)]


def move_first_account(config: Config, new_domain: str, apply: Callable[[], object]) -> str:
    """Give the first account an address in the new domain, call `apply`, and return the new address.

    Blank when no account is moved. When something fails all files are as before, and the error is raised.
    """
    old = first_account(config)
    old_domain = config.server.primary_domain
    new = f"{split_address(old)[0]}@{new_domain}" if old else ""
    if new and new in load_users(config, domain_table(config)).accounts:
        raise EditRefused(f"there is an account {new} already.")
    paths = (config.server.users_file, config.server.aliases_file)
    before = [_content(path) for path in paths]
    try:
        if old and before[0] is not None:
            change_file(paths[0], config.path, lambda text: _moved_account(text, config, old, new))
        if before[1] is not None:
            change_file(paths[1], config.path, lambda text: _moved_aliases(text, old_domain, new_domain, old, new))
        apply()
    except BaseException:
        for path, data in zip(paths, before, strict=True):
            if data is not None and _content(path) != data:
                atomic_file.replace(path, data)
        raise
    if new:
        _move_folder(config, old, new)
    return new


def _content(path: str) -> bytes | None:
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        return None


def _moved_account(text: str, config: Config, old: str, new: str) -> str:
    table = domain_table(config)
    lines = text.split("\n")
    for number, line in enumerate(lines):
        name, colon, rest = line.partition(":")
        if colon and not line.startswith("#") and table.canonical(name) == old:
            lines[number] = f"{new}:{rest}"
            break
    return "\n".join(lines)


def _moved_aliases(text: str, old_domain: str, new_domain: str, old: str, new: str) -> str:
    """Move the aliases of the roles, and every target that names the account."""
    lines = text.split("\n")
    for each in reversed(list(parse_aliases(text))):
        if each.problem:
            continue
        moved = _moved_alias(each, old_domain, new_domain, old, new)
        if moved != (each.name, each.targets):
            lines[each.first - 1 : each.after - 1] = format_alias(*moved).split("\n")
    return "\n".join(lines)


def _moved_alias(each: AliasLine, old_domain: str, new_domain: str, old: str, new: str) -> tuple[str, tuple[str, ...]]:
    local, domain = split_address(each.name)
    name = f"{local}@{new_domain}" if domain == old_domain and local.lower() in _MOVED_NAMES else each.name
    targets = tuple(new if old and target.lower() == old else target for target in each.targets)
    return name, targets


def _move_folder(config: Config, old: str, new: str) -> None:
    """Rename the Maildir. Where that fails the mail stays under the old name, and the server makes a new Maildir."""
    source, target = (
        os.path.join(config.server.mail_folder, domain, local) for local, domain in map(split_address, (old, new))
    )
    if not os.path.isdir(source) or os.path.lexists(target):
        return
    parent = os.path.dirname(target)
    if not os.path.isdir(parent):
        os.mkdir(parent, 0o700)
        like = os.stat(os.path.dirname(source))
        if os.geteuid() == 0:
            os.chown(parent, like.st_uid, like.st_gid)
    os.rename(source, target)

"""Adds, changes and deletes accounts. Every change is one atomic replacement of the users file, under its lock.

An edit that could not work is refused (`EditRefused`) before a file is written. The server picks up the change itself.
"""

import os
from collections.abc import Callable, Collection, Sequence

from smtpd_classic.accounts.account import NORMAL, STATUSES, Account
from smtpd_classic.accounts.address import DomainTable, account_problem, domain_table
from smtpd_classic.accounts.checks import load_users
from smtpd_classic.accounts.consequences import refuse_worse
from smtpd_classic.accounts.directory import IN_DOVECOT
from smtpd_classic.accounts.locked_file import AccountsElsewhere, EditRefused, NotThere, appended, change_file
from smtpd_classic.accounts.passwords import scheme_problem
from smtpd_classic.accounts.reading import UserTable, account_lines, read_users
from smtpd_classic.accounts.users import UserLine, edited_line, junk_folder, new_line, parse_line
from smtpd_classic.config.schema import Config
from smtpd_classic.smtp.address import is_address, split_address

__all__ = ["add_account", "add_accounts", "change_account", "delete_account", "list_accounts", "the_account"]


def list_accounts(config: Config) -> tuple[Account, ...]:
    """Return all accounts of local domains, in the order of the file. Raises EditRefused if it is unreadable."""
    return tuple(_users(config).accounts.values())


def _users(config: Config) -> UserTable:
    users = load_users(config, domain_table(config))
    if not users.accounts and not users.whole and os.path.exists(config.server.users_file):
        raise EditRefused(str(users.problems[0]))
    return users


def the_account(config: Config, address: str) -> Account:
    """Return the account of an address. Raises NotThere, EditRefused or AccountsUnreadable."""
    name = domain_table(config).canonical(address)
    account = _users(config).accounts.get(name)
    if account is None:
        raise NotThere(f"there is no account {name}.")
    return account


def add_account(
    config: Config,
    address: str,
    password: str,
    *,
    full_name: str = "",
    status: str = NORMAL,
    quota: int = 0,
    may_send_as: Sequence[str] = (),
) -> str:
    """Add an account; `password` is a hash. Returns its address as it is written in the file."""
    user = UserLine(address, password, full_name, status, quota, tuple(may_send_as))
    name, problem = add_accounts(config, [user])[0]
    if problem:
        raise EditRefused(problem)
    return name


def add_accounts(config: Config, users: Sequence[UserLine]) -> list[tuple[str, str]]:
    """Add accounts in one replacement of the file. Return the address of each with the reason why it was not added,
    blank if it was. Raises EditRefused if the file cannot be changed at all.
    """
    table = domain_table(config)
    found: list[tuple[str, str]] = []

    def change(text: str) -> str:
        found.clear()
        lines: list[str] = []
        known = {table.canonical(line.partition(":")[0]) for _, line in account_lines(text) if ":" in line}
        for user in users:
            name = table.canonical(user.name)
            try:
                lines.append(new_line(_new_user(user._replace(name=name), table, known)))
            except EditRefused as refused:
                found.append((name, str(refused)))
                continue
            known.add(name)
            found.append((name, ""))
        if not lines:
            return text
        new = appended(text, "\n".join(lines))
        refuse_worse(config, table, users=(_read(config, text), _read(config, new)), warnings=True)
        return new

    _change_users(config, change)
    return found


def _new_user(user: UserLine, table: DomainTable, known: Collection[str]) -> UserLine:
    """Raise EditRefused for an account that could not work."""
    if user.name in known:
        raise EditRefused(f"there is an account {user.name} already.")
    if problem := account_problem(user.name):
        raise EditRefused(problem)
    local, domain = split_address(user.name)
    if "'" in local:
        raise EditRefused(
            f"“{local}” holds “'”, and a Dovecot beside this server could not let such a user in: name the account "
            f"{local.replace(chr(39), '')}, and make {local} an alias for it."
        )
    if table.local(domain) is None:
        raise EditRefused(f"{domain} is not a local domain; “smtpd-classic domain add {domain}” makes it one.")
    return _checked(user)


def change_account(
    config: Config,
    address: str,
    *,
    password: str | None = None,
    full_name: str | None = None,
    status: str | None = None,
    quota: int | None = None,
    may_send_as: Sequence[str] | None = None,
    forward_only: bool | None = None,
    own_junk_folder: str | None = None,
) -> None:
    """Change the given fields of an account, and nothing else; `password` is a hash."""
    table = domain_table(config)
    name = table.canonical(address)

    def changed(user: UserLine) -> UserLine:
        return user._replace(
            password=user.password if password is None else password,
            full_name=user.full_name if full_name is None else full_name,
            status=user.status if status is None else status,
            quota=user.quota if quota is None else quota,
            may_send_as=user.may_send_as if may_send_as is None else tuple(may_send_as),
            forward_only=user.forward_only if forward_only is None else forward_only,
            junk_folder=user.junk_folder if own_junk_folder is None else own_junk_folder,
        )

    def change(text: str) -> str:
        lines = text.split("\n")
        number = _one_line_of(text, name, table)
        try:
            user = parse_line(lines[number])
        except ValueError as problem:
            raise EditRefused(f"line {number + 1} of the users file cannot be read: {problem}") from None
        lines[number] = edited_line(lines[number], _checked(changed(user)))
        return "\n".join(lines)

    _change_users(config, change)


def delete_account(config: Config, address: str, *, force: bool = False) -> None:
    """Delete an account; its Maildir stays. Refused, unless forced, when postmaster or an alias would lead nowhere."""
    table = domain_table(config)
    name = table.canonical(address)

    def change(text: str) -> str:
        lines = text.split("\n")
        _one_line_of(text, name, table)
        gone = set(_lines_of(text, name, table))
        new = "\n".join(line for number, line in enumerate(lines) if number not in gone)
        if not force:
            refuse_worse(config, table, users=(_read(config, text), _read(config, new)), warnings=False)
        return new

    _change_users(config, change)


def _change_users(config: Config, change: Callable[[str], str]) -> None:
    if config.server.accounts == IN_DOVECOT:
        raise AccountsElsewhere("the accounts live in Dovecot (accounts = dovecot); change them in its user database.")
    change_file(config.server.users_file, config.path, change)


def _checked(user: UserLine) -> UserLine:
    """Raise EditRefused for a value that the file cannot hold or that makes the account useless."""
    if any(char == ":" or not char.isprintable() for char in user.full_name):
        raise EditRefused("a full name cannot hold “:” or control characters.")
    if user.status not in STATUSES:
        raise EditRefused(f"“{user.status}” is not a status; there are {', '.join(STATUSES)}.")
    if user.quota < 0:
        raise EditRefused("a quota cannot be negative.")
    if any(char == ":" or not char.isprintable() or char.isspace() for char in user.password):
        raise EditRefused("this is not a password hash.")
    if user.password and (problem := scheme_problem(user.password)):
        raise EditRefused(problem)
    if user.status == NORMAL and not user.password:
        raise EditRefused("without a password the account cannot log in; set one first.")
    try:
        user = user._replace(junk_folder=junk_folder(user.junk_folder))
    except ValueError as problem:
        raise EditRefused(str(problem)) from None
    for grant in user.may_send_as:
        if not is_address(grant.replace("*@", "any@", 1)) or any(char in grant for char in ' ,"'):
            raise EditRefused(f"“{grant}” is neither an address nor *@domain.")
    return user


def _lines_of(text: str, name: str, table: DomainTable) -> list[int]:
    """Return the numbers of the lines of the account, counted from 0."""
    return [
        number - 1
        for number, line in account_lines(text)
        if ":" in line and table.canonical(line.partition(":")[0]) == name
    ]


def _one_line_of(text: str, name: str, table: DomainTable) -> int:
    numbers = _lines_of(text, name, table)
    if not numbers:
        raise NotThere(f"there is no account {name}.")
    return numbers[0]


def _read(config: Config, text: str) -> UserTable:
    return read_users(config.server.users_file, text, domain_table(config), config.server)

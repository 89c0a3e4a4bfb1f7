"""Reads the users and the aliases file, with their problems."""

import os
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from smtpd_classic.accounts.account import NORMAL, Account
from smtpd_classic.accounts.address import DomainTable, account_problem, local_key
from smtpd_classic.accounts.aliases import parse_aliases
from smtpd_classic.accounts.passwords import LOCK, scheme_problem
from smtpd_classic.accounts.users import INBOX, UserLine, is_locked, parse_line
from smtpd_classic.config.problem import Problem
from smtpd_classic.config.schema import Server
from smtpd_classic.smtp.address import split_address

__all__ = [
    "AliasTable",
    "FileSignature",
    "NotText",
    "UserTable",
    "account_lines",
    "alias_key",
    "file_signature",
    "junk_maildir",
    "read_aliases",
    "read_text",
    "read_users",
    "unreadable",
]


FileSignature = tuple[int, int, int, int] | None


class UserTable(NamedTuple):
    """`whole` is False when a line could not be understood, so that an account may be missing."""

    accounts: Mapping[str, Account]
    lines: dict[str, int]
    problems: tuple[Problem, ...] = ()
    whole: bool = True


class AliasTable(NamedTuple):
    """`targets` by `user@domain`, or by `user` for an alias in every local domain; targets are canonical addresses."""

    targets: dict[str, tuple[str, ...]]
    lines: dict[str, int]
    problems: tuple[Problem, ...] = ()
    whole: bool = True


class NotText(ValueError):
    """The file is not UTF-8; `line` is where that shows first."""

    def __init__(self, line: int) -> None:
        super().__init__(f"line {line} is not UTF-8, in which the file must be written.")
        self.line = line


def file_signature(path: str) -> FileSignature:
    """Return numbers that change with the file; None if there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size, found.st_ctime_ns


def unreadable(path: str, problem: NotText | OSError) -> Problem:
    if isinstance(problem, NotText):
        return Problem(path, problem.line, str(problem))
    return Problem(path, 0, f"cannot be read: {problem.strerror}.")


def read_text(path: str) -> str:
    """Return the text of a file. Raises NotText, or OSError if it cannot be read."""
    with open(path, "rb") as file:
        data = file.read()
    try:
        return data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as problem:
        raise NotText(data.count(b"\n", 0, problem.start) + 1) from None


def account_lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield the lines that are neither blank nor a comment, counted from 1."""
    for number, line in enumerate(text.split("\n"), 1):
        if line and line[0] != "#" and not line.isspace():
            yield number, line


def read_users(path: str, text: str, table: DomainTable, server: Server) -> UserTable:
    accounts: dict[str, Account] = {}
    lines: dict[str, int] = {}
    problems: list[Problem] = []
    whole = True
    for number, line in account_lines(text):
        try:
            user = parse_line(line)
            address = _account_address(user.name, table)
        except ValueError as problem:
            problems.append(Problem(path, number, str(problem)))
            whole = False
            continue
        if address in lines:
            problems.append(Problem(path, number, f"{address} is already on line {lines[address]}, which counts."))
            continue
        lines[address] = number
        problems += [Problem(path, number, said, severity) for severity, said in _remarks(user, address, table)]
        if user.status != NORMAL and not is_locked(line):
            said = f"{address} is {user.status} here, but not in Dovecot: its hash needs “{LOCK}” in front of it."
            problems.append(Problem(path, number, said, "warning"))
        local, domain = split_address(address)
        if table.local(domain) is not None:
            folder = os.path.join(server.mail_folder, domain, local) if table.place(domain).is_maildir else ""
            accounts[address] = Account(
                address,
                user.full_name,
                user.password,
                user.status,
                user.quota,
                tuple(map(table.canonical, user.may_send_as)),
                folder,
                user.forward_only,
                user.junk_folder,
                junk_maildir(folder, user.junk_folder or server.junk_folder),
            )
    return UserTable(accounts, lines, tuple(problems), whole)


def junk_maildir(folder: str, junk_folder: str) -> str:
    """Return the Maildir for the junk of a mailbox: the mailbox itself without a junk folder."""
    return f"{folder}/{junk_folder}" if folder and junk_folder not in {"", INBOX} else folder


def _account_address(name: str, table: DomainTable) -> str:
    address = table.canonical(name)
    if problem := account_problem(address):
        raise ValueError(problem)
    return address


def _remarks(user: UserLine, address: str, table: DomainTable) -> Iterator[tuple[str, str]]:
    """Yield the warnings about a line that can be used."""
    if table.local(split_address(address)[1]) is None:
        yield "warning", f"the domain of {address} is not a local one; the account is not used."
    elif user.name != address:
        yield "warning", f"write {address} here, not {user.name}: other programs find the account under that name only."
    if not user.password:
        yield "warning", f"{address} has no password and cannot log in."
    elif said := scheme_problem(user.password):
        yield "error", f"{address}: {said}"
    for grant in user.may_send_as:
        local, domain = split_address(grant)
        if not local or not domain:
            yield "error", f"{address} may send as “{grant}”, which is neither an address nor *@domain."


def read_aliases(path: str, text: str, table: DomainTable) -> AliasTable:
    targets: dict[str, tuple[str, ...]] = {}
    lines: dict[str, int] = {}
    problems: list[Problem] = []
    whole = True
    for line in parse_aliases(text):
        if line.problem:
            problems.append(Problem(path, line.first, line.problem))
            whole = False
            continue
        key, domain = alias_key(line.name, table)
        if key in lines:
            problems.append(Problem(path, line.first, f"{key} is already on line {lines[key]}, which counts."))
            continue
        lines[key] = line.first
        if domain and table.local(domain) is None:
            said = f"the domain of {key} is not a local one; the alias is not used."
            problems.append(Problem(path, line.first, said, "warning"))
            continue
        targets[key] = tuple(dict.fromkeys(_completed(target, domain, table) for target in line.targets))
    return AliasTable(targets, lines, tuple(problems), whole)


def alias_key(name: str, table: DomainTable) -> tuple[str, str]:
    """Return the key of an alias, and its domain or ""."""
    local, domain = split_address(name)
    if not domain:
        return local_key(local), ""
    address = table.canonical(name)
    return address, split_address(address)[1]


def _completed(target: str, domain: str, table: DomainTable) -> str:
    local, own = split_address(target)
    return table.canonical(target if own else f"{local}@{domain or table.primary}")

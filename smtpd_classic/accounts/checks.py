"""The check of both files, and of the addresses that the configuration names."""

import os
import pwd
import stat
from collections.abc import Iterator
from typing import NamedTuple

from smtpd_classic.accounts.account import DISABLED, AccountsUnreadable
from smtpd_classic.accounts.address import DomainTable
from smtpd_classic.accounts.book import address_book
from smtpd_classic.accounts.directory import IN_DOVECOT, user_directory
from smtpd_classic.accounts.group_checks import group_problems
from smtpd_classic.accounts.reading import (
    AliasTable,
    NotText,
    UserTable,
    read_aliases,
    read_text,
    read_users,
    unreadable,
)
from smtpd_classic.accounts.resolution import MAX_TARGETS, AddressBook, TooManyTargets
from smtpd_classic.config.problem import Problem
from smtpd_classic.config.schema import Config
from smtpd_classic.smtp.address import split_address

__all__ = ["check", "findings", "load_aliases", "load_users"]

_RULES_WITH_ADDRESS = {"redirect": "redirects nothing.", "copy": "makes no copy."}


def check(config: Config, table: DomainTable) -> list[Problem]:
    """Return all that is wrong or doubtful, file by file, line by line."""
    users, aliases = load_users(config, table), load_aliases(config, table)
    problems = [
        *(_modes(config, config.server.users_file, secret=True) if config.server.accounts != IN_DOVECOT else ()),
        *_modes(config, config.server.aliases_file, secret=False),
        *users.problems,
        *aliases.problems,
        *findings(config, table, users, aliases),
    ]
    order = {config.path: 0, config.server.users_file: 1, config.server.aliases_file: 2}
    return sorted(problems, key=lambda problem: (order.get(problem.file, 3), problem.line))


def findings(config: Config, table: DomainTable, users: UserTable, aliases: AliasTable) -> Iterator[Problem]:
    """Yield the problems of accounts, aliases and configuration taken together."""
    book = address_book(config, table, users, aliases)
    try:
        yield from _alias_problems(config.server.aliases_file, table, book, aliases)
        yield from _config_problems(config, table, book)
        yield from group_problems(config, table, book, aliases)
    except AccountsUnreadable as problem:
        said = f"aliases and groups are not checked, because the accounts cannot be looked up: {problem}."
        yield Problem(config.path, config.line("server", "accounts"), said, "warning")


def load_users(config: Config, table: DomainTable) -> UserTable:
    directory = user_directory(config, table)
    if directory is not None:
        return UserTable(directory, {})
    path = config.server.users_file
    try:
        return read_users(path, read_text(path), table, config.server)
    except FileNotFoundError:
        said = "there is no such file; “smtpd-classic user add” makes it with the first account."
        found = Problem(path, 0, said)
    except (OSError, NotText) as problem:
        found = unreadable(path, problem)
    return UserTable({}, {}, (found,), whole=False)


def load_aliases(config: Config, table: DomainTable) -> AliasTable:
    path = config.server.aliases_file
    try:
        return read_aliases(path, read_text(path), table)
    except FileNotFoundError:
        return AliasTable({}, {})
    except (OSError, NotText) as problem:
        return AliasTable({}, {}, (unreadable(path, problem),), whole=False)


def _modes(config: Config, path: str, *, secret: bool) -> Iterator[Problem]:
    try:
        found = os.stat(path)
    except OSError:
        return
    mode = found.st_mode
    if os.geteuid() == 0 and not _service_user_may_read(config.server.user, found):
        said = f"the service user {config.server.user} cannot read the file; chgrp and chmod g+r give it that right."
        yield Problem(path, 0, said, "warning")
    if mode & stat.S_IWOTH:
        yield Problem(path, 0, "every user may write to the file; chmod o-w takes that right away.")
    if secret and mode & stat.S_IROTH:
        said = "every user may read the file, and guess at the password hashes in it; chmod o-rwx ends that."
        yield Problem(path, 0, said, "warning")


def _service_user_may_read(name: str, found: os.stat_result) -> bool:
    try:
        user = pwd.getpwnam(name)
    except KeyError:
        return True  # not known yet; the start says so
    if found.st_uid == user.pw_uid:
        return bool(found.st_mode & stat.S_IRUSR)
    in_group = found.st_gid in os.getgrouplist(name, user.pw_gid)
    return bool(found.st_mode & (stat.S_IRGRP if in_group else stat.S_IROTH))


def _alias_problems(path: str, table: DomainTable, book: AddressBook, aliases: AliasTable) -> Iterator[Problem]:
    for loop in _loops(table, book, aliases.targets):
        said = f"this alias goes round in a circle: {' → '.join([*loop, loop[0]])}."
        yield Problem(path, aliases.lines[loop[0]], said)
    many = sum(map(len, aliases.targets.values())) > MAX_TARGETS
    for key, targets in aliases.targets.items():
        line = aliases.lines[key]
        if key in book.accounts and book.forwards(key) is None and book.accounts[key].status != DISABLED:
            said = (
                f"there is an account {key}, which comes first; the alias is not used. “smtpd-classic user forward” "
                "forwards the mail of an account."
            )
            yield Problem(path, line, said, "warning")
        if dead := [target for target in targets if not _exists(book, target)]:
            left = "mail for this alias is refused." if len(dead) == len(targets) else "the others get the mail."
            said = f"the alias {key}: there is no {', '.join(dead)} here; {left}"
            yield Problem(path, line, said, "error" if len(dead) == len(targets) else "warning")
        if many and _is_too_many(book, targets):
            yield Problem(path, line, f"this alias stands for more than {MAX_TARGETS} addresses.")


def _exists(book: AddressBook, address: str) -> bool:
    """Return True if it is at least an alias, or an address elsewhere, or cannot be looked up."""
    try:
        return book.exists(address)
    except AccountsUnreadable:
        return True


def _leads_nowhere(table: DomainTable, book: AddressBook, address: str) -> bool:
    try:
        return table.local(split_address(address)[1]) is not None and book.find(address) is None
    except AccountsUnreadable:
        return False


def _gets_no_mail(table: DomainTable, book: AddressBook, address: str) -> bool:
    account = book.accounts.get(address)
    return _leads_nowhere(table, book, address) or (account is not None and account.status == DISABLED)


def _is_too_many(book: AddressBook, targets: tuple[str, ...]) -> bool:
    try:
        book.expanded(targets)
    except TooManyTargets:
        return True
    except AccountsUnreadable:
        return False
    return False


def _loops(table: DomainTable, book: AddressBook, targets: dict[str, tuple[str, ...]]) -> Iterator[list[str]]:
    """Yield each circle of aliases once, as the keys on it. Depth first, without recursion, at any depth.

    A mailbox that keeps its mail ends the way through it.
    """
    done: set[str] = set()
    for start in targets:
        path: dict[str, Iterator[str]] = {}
        key: str | None = start
        while key is not None:
            if key in path:
                keys = list(path)
                yield keys[keys.index(key) :]
            elif key not in done:
                path[key] = _next_keys(table, book, targets, key)
            key = _next_on(path, done)


def _next_on(path: dict[str, Iterator[str]], done: set[str]) -> str | None:
    """Return the next alias that the last one on the path leads to. Take those that lead no further off the path."""
    while path:
        last = next(reversed(path))
        following = next(path[last], None)
        if following is not None:
            return following
        done.add(last)
        del path[last]
    return None


def _next_keys(table: DomainTable, book: AddressBook, targets: dict[str, tuple[str, ...]], key: str) -> Iterator[str]:
    for target in targets[key]:
        local, domain = split_address(target)
        if target in book.accounts and target in (book.forwards(target) or (target,)):
            continue
        if table.local(domain) is not None:
            if target in targets:
                yield target
            elif local in targets:
                yield local


def _config_problems(config: Config, table: DomainTable, book: AddressBook) -> Iterator[Problem]:
    """Yield the problems of the postmaster, the catch-alls and other addresses of the configuration."""
    postmaster = table.canonical(config.postmaster)
    if _leads_nowhere(table, book, postmaster):
        said = f"the postmaster {postmaster} is neither an account nor an alias here; bounces would be lost."
        yield Problem(config.path, config.line("basic", "postmaster"), said)
    elif (account := book.accounts.get(postmaster)) is not None and account.status == DISABLED:
        said = f"the account of the postmaster {postmaster} is disabled."
        yield Problem(config.path, config.line("basic", "postmaster"), said)
    for each in _named_addresses(config):
        if dead := [name for name in each.addresses if _gets_no_mail(table, book, table.canonical(name))]:
            said = f"there is no {', '.join(dead)} here {each.use}"
            yield Problem(config.path, config.line(each.title, each.option), said, each.severity)
    yield from _account_limits_problems(config, table, book)
    for domain in config.domains:
        if domain.catch_all and _leads_nowhere(table, book, table.canonical(domain.catch_all)):
            said = f"there is no {domain.catch_all} here to catch all mail for {domain.name}."
            yield Problem(config.path, config.line(f"domain {domain.name}", "catch_all"), said)


def _is_no_account(book: AddressBook, address: str) -> bool:
    try:
        return book.accounts.get(address) is None
    except AccountsUnreadable:
        return False


def _account_limits_problems(config: Config, table: DomainTable, book: AddressBook) -> Iterator[Problem]:
    """Yield the sections of limits that no account has, or that another section takes the place of."""
    first: dict[str, str] = {}
    for each in config.account_limits:
        title, address = f"account-limits {each.name}", table.canonical(each.name)
        if first.setdefault(address, each.name) != each.name:
            said = f"[account-limits {first[address]}] is the same account, and its limits count."
            yield Problem(config.path, config.line(title), said, "warning")
        elif _is_no_account(book, address):
            said = f"there is no account {each.name}, so that these limits are of no use."
            yield Problem(config.path, config.line(title), said, "warning")


class _Named(NamedTuple):
    """The addresses of an option, with their use in words."""

    title: str
    option: str
    addresses: tuple[str, ...]
    use: str
    severity: str = "error"


def _named_addresses(config: Config) -> Iterator[_Named]:
    """Yield the addresses of archives, approvals and filter rules."""
    archives = "for the archive."
    yield _Named("archive", "incoming", config.archive.incoming, archives)
    yield _Named("archive", "outgoing", config.archive.outgoing, archives)
    for domain in config.domains:
        yield _Named(f"domain {domain.name}", "archive_incoming", domain.archive_incoming, archives)
        yield _Named(f"domain {domain.name}", "archive_outgoing", domain.archive_outgoing, archives)
    for each in config.approvals:
        yield _Named(f"approval {each.name}", "managers", each.managers, "to decide about the mail that waits.")
    for rule in config.filter_rules:
        use = _RULES_WITH_ADDRESS.get(rule.action.word, "")
        if use:
            said = f"that gets mail, so that the rule {rule.name} {use}"
            yield _Named(f"filter-rule {rule.name}", "action", (rule.action.argument,), said, "warning")

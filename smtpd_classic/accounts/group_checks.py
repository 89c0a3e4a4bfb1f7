"""The check of groups: their names, members and owners."""

from collections.abc import Iterator
from contextlib import suppress

from smtpd_classic.accounts.account import AccountsUnreadable
from smtpd_classic.accounts.address import DomainTable
from smtpd_classic.accounts.groups import MailGroup, bounces_of
from smtpd_classic.accounts.reading import AliasTable
from smtpd_classic.accounts.resolution import AddressBook
from smtpd_classic.config.problem import Problem
from smtpd_classic.config.schema import Config
from smtpd_classic.smtp.address import split_address

__all__ = ["group_problems"]


def group_problems(config: Config, table: DomainTable, book: AddressBook, aliases: AliasTable) -> Iterator[Problem]:
    """Yield the problems of the groups, each at its line."""
    first: dict[str, str] = {}
    for options in config.groups:
        name = table.canonical(options.name)
        title = f"group {options.name}"
        if first.setdefault(name, options.name) != options.name:
            said = f"[group {first[name]}] is the same address."
            yield Problem(config.path, config.line(title), said)
        group = book.groups.get(name)
        if group is None:
            said = f"{options.name} is no address of a local domain, so that it gets no mail."
            yield Problem(config.path, config.line(title), said)
            continue
        for option, said, severity in _problems(table, book, aliases, group):
            yield Problem(config.path, config.line(title, option), said, severity)


def _problems(
    table: DomainTable, book: AddressBook, aliases: AliasTable, group: MailGroup
) -> Iterator[tuple[str, str, str]]:
    """Yield the option, the sentence and the severity of each problem."""
    bounces = next(iter(bounces_of([group.address])))
    for name in (group.address, bounces):
        other = _other(book, aliases, name)
        if other:
            yield "", f"{name} is {other} too; a name may be only one of account, group and alias.", "error"
    if bounces in book.groups:
        yield "", f"{bounces} is a group too, but it gets the bounces of {group.address}.", "error"
    dead = [each for each in group.members if _leads_nowhere(table, book, each)]
    if dead:
        left = "nothing is left" if len(dead) == len(group.members) else "the others get the mail"
        severity = "error" if len(dead) == len(group.members) else "warning"
        yield "members", f"there is no {', '.join(dead)} here; {left}.", severity
    if _leads_nowhere(table, book, group.owner):
        yield "owner", f"there is no {group.owner} here to get the bounces.", "error"
    elif group.owner in book.groups:
        yield "owner", f"the owner {group.owner} is a group, which passes no bounces on; name a person.", "error"
    if group.address in _inner(book, group):
        yield "members", f"{group.address} is a member of itself, through another group or alias.", "warning"


def _other(book: AddressBook, aliases: AliasTable, address: str) -> str:
    if address in book.accounts:
        return "an account"
    local = split_address(address)[0]
    return "an alias" if address in aliases.targets or local in aliases.targets else ""


def _leads_nowhere(table: DomainTable, book: AddressBook, address: str) -> bool:
    try:
        return table.local(split_address(address)[1]) is not None and book.find(address) is None
    except AccountsUnreadable:
        return False


def _inner(book: AddressBook, group: MailGroup) -> set[str]:
    """Return every address that the members lead to."""
    seen: set[str] = set()
    with suppress(AccountsUnreadable):
        book.expanded(group.members, through_groups=True, seen=seen)
    return seen

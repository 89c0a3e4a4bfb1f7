"""Groups as the address book knows them: canonical addresses, from `[group ADDRESS]`."""

from collections.abc import Iterable
from dataclasses import dataclass

from smtpd_classic.accounts.address import DomainTable
from smtpd_classic.config.schema import Config, Group
from smtpd_classic.smtp.address import split_address

__all__ = ["BOUNCES", "MailGroup", "bounces_of", "mail_groups"]

BOUNCES = "-bounces"


@dataclass(frozen=True, slots=True)
class MailGroup:
    """A group. `members` and `owner` are canonical addresses as they are written, not resolved."""

    address: str
    members: tuple[str, ...]
    owner: str
    options: Group


def mail_groups(config: Config, table: DomainTable) -> dict[str, MailGroup]:
    """Return the groups of local domains by their addresses."""
    found = (_group(each, table) for each in config.groups)
    return {each.address: each for each in found if table.local(split_address(each.address)[1]) is not None}


def _group(options: Group, table: DomainTable) -> MailGroup:
    members = tuple(dict.fromkeys(table.canonical(each) for each in options.members))
    return MailGroup(table.canonical(options.name), members, table.canonical(options.owner), options)


def bounces_of(addresses: Iterable[str]) -> dict[str, str]:
    """Return the groups by their addresses for bounces: GROUP-bounces@DOMAIN."""
    parted = ((each, split_address(each)) for each in addresses)
    return {f"{local}{BOUNCES}@{domain}": each for each, (local, domain) in parted}

"""Makes the address book from the configuration and both files."""

from smtpd_classic.accounts.address import DomainTable
from smtpd_classic.accounts.groups import mail_groups
from smtpd_classic.accounts.reading import AliasTable, UserTable
from smtpd_classic.accounts.report_boxes import report_boxes
from smtpd_classic.accounts.resolution import AddressBook
from smtpd_classic.config.schema import Config

__all__ = ["address_book"]


def address_book(config: Config, table: DomainTable, users: UserTable, aliases: AliasTable) -> AddressBook:
    """Return the address book of a configuration with the content of both files."""
    catch_all = {
        name: table.canonical(each.catch_all)
        for each in config.domains
        if each.catch_all and (name := table.local(each.name)) is not None
    }
    parts = ((users.whole, users.problems), (aliases.whole, aliases.problems))
    doubt = "; ".join(str(problems[0]) for whole, problems in parts if not whole)
    postmaster = table.canonical(config.postmaster)
    return AddressBook(
        table,
        users.accounts,
        aliases.targets,
        catch_all,
        postmaster,
        doubt,
        postmaster_set=bool(config.basic.postmaster),
        groups=mail_groups(config, table),
        reports=report_boxes(config),
    )

"""What an edit would break elsewhere: an alias that leads nowhere any more, a circle, a postmaster out of reach."""

from smtpd_classic.accounts.address import DomainTable
from smtpd_classic.accounts.checks import findings, load_aliases, load_users
from smtpd_classic.accounts.locked_file import EditRefused
from smtpd_classic.accounts.reading import Aliases, Users
from smtpd_classic.config.schema import Config

__all__ = ["refuse_worse"]


def refuse_worse(
    config: Config,
    table: DomainTable,
    *,
    users: tuple[Users, Users] | None = None,
    aliases: tuple[Aliases, Aliases] | None = None,
    warnings: bool,
) -> None:
    """Given one file before and after, raise EditRefused when it is worse after, beside the other file as it is."""
    users = users or (load_users(config, table),) * 2
    aliases = aliases or (load_aliases(config, table),) * 2
    before = {each.text for each in findings(config, table, users[0], aliases[0])}
    for problem in findings(config, table, users[1], aliases[1]):
        if problem.text not in before and (problem.is_error or warnings):
            raise EditRefused(problem.text)

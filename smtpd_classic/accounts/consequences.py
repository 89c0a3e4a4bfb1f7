"""Refuses an edit that breaks an address: an alias that leads nowhere, a circle, an unreachable postmaster."""

from smtpd_classic.accounts.address import DomainTable
from smtpd_classic.accounts.checks import findings, load_aliases, load_users
from smtpd_classic.accounts.locked_file import EditRefused
from smtpd_classic.accounts.reading import AliasTable, UserTable
from smtpd_classic.config.schema import Config

__all__ = ["refuse_worse"]


def refuse_worse(
    config: Config,
    table: DomainTable,
    *,
    users: tuple[UserTable, UserTable] | None = None,
    aliases: tuple[AliasTable, AliasTable] | None = None,
    warnings: bool,
) -> None:
    """Raise EditRefused if one file, given before and after an edit, is worse after it, beside the other file as it is.
    Lines that cannot be read count for nothing: they must not hide the effect of the edit."""
    users = users or (load_users(config, table),) * 2
    aliases = aliases or (load_aliases(config, table),) * 2
    before, after = (
        findings(config, table, users[moment]._replace(whole=True), aliases[moment]._replace(whole=True))
        for moment in (0, 1)
    )
    known = {each.text for each in before}
    for problem in after:
        if problem.text not in known and (problem.is_error or warnings):
            raise EditRefused(problem.text)

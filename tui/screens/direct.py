"""Direct Delivery: domains with servers of their own, in the order in which they are looked at."""

from smtpd_classic.config.kinds import HOSTS
from tui.desk import Desk
from tui.draft import Row
from tui.screens.rows import Rows, RowsLook
from tui.table import Column

__all__ = ["screen"]

_COLUMNS = (Column("Domain", share=2), Column("Hosts, in order", share=3), Column("Open", 5, least=40))


def screen(desk: Desk) -> Rows:
    look = RowsLook(_COLUMNS, _cells, "Domain", "No domain has servers of its own. Press a, Insert or [Add].")
    return Rows(desk, "direct_domains", look, fields=[("direct", "fall_back_to_remote")])


def _cells(row: Row) -> list[str]:
    hosts = row.text(row.section.option("hosts"))
    shown = HOSTS.mask(hosts) if HOSTS.mask else hosts
    return [row.name, ", ".join(line.split()[0] for line in shown.splitlines()), row.text(row.section.option("open"))]

"""Direct Delivery: domains with servers of their own, in the order in which the server checks them."""

from smtpd_classic.config.kinds import HOSTS
from tui.config.draft import Row
from tui.config.table_screen import TableLook, TableScreen
from tui.shell.context import AppContext
from tui.widgets.table import Column

__all__ = ["screen"]

_COLUMNS = (Column("Domain", share=2), Column("Hosts, in order", share=3), Column("Open", 5, least=40))


def screen(context: AppContext) -> TableScreen:
    def cells(row: Row) -> list[str]:
        return _cells(row, _troubled(context))

    look = TableLook(
        _COLUMNS, cells, "Domain", "No domain has servers of its own. Press a, Insert or [Add].", tested=True
    )
    return TableScreen(context, "direct_domains", look, fields=[("direct", "fall_back_to_remote")])


def _troubled(context: AppContext) -> set[str]:
    """Return the names of hosts that failed recently; the server tries them last for a while."""
    marks = context.failing_hosts()
    return {mark.host.rpartition(":")[0].strip("[]") for mark in marks}


def _cells(row: Row, troubled: set[str]) -> list[str]:
    hosts = row.text(row.section.option("hosts"))
    shown = HOSTS.mask(hosts) if HOSTS.mask else hosts
    names = [line.split()[0] for line in shown.splitlines()]
    marked = [f"{name} (failing)" if _host_name(name) in troubled else name for name in names]
    return [row.name, ", ".join(marked), row.text(row.section.option("open"))]


def _host_name(written: str) -> str:
    """Return the host name without the port, in the spelling that the parser gives."""
    try:
        (host,) = HOSTS.parse(written)
    except ValueError:
        return written
    return host.name

"""Account Limits: the sending limits of single accounts."""

from tui.config.draft import Row
from tui.config.table_screen import TableLook, TableScreen
from tui.shell.context import AppContext
from tui.widgets.table import Column

__all__ = ["screen"]

_OPTIONS = ("recipients_per_hour", "recipients_per_day", "new_recipients_per_day")
_COLUMNS = (Column("Account", share=4), Column("Hour", 8), Column("Day", 8), Column("New", 8, least=40))


def screen(context: AppContext) -> TableScreen:
    look = TableLook(_COLUMNS, _cells, "Account", "All accounts have the common limits. Press a, Insert or [Add].")
    return TableScreen(context, "account_limits", look)


def _cells(row: Row) -> list[str]:
    section = row.section
    return [row.name, *(row.text(section.option(name)) for name in _OPTIONS)]

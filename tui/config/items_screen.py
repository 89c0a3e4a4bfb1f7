"""A screen for one list of the configuration: Open Relay Domains, Trusted Hosts."""

from collections.abc import Callable
from functools import partial
from typing import Any

import urwid

from smtpd_classic.config.kinds import split_items
from smtpd_classic.config.option import Option
from tui.config import apply
from tui.config.field import Field
from tui.shell.context import AppContext
from tui.shell.discard_question import esc_asks
from tui.shell.help_pane import WithHelp, help_of
from tui.shell.screen import BaseScreen, Help
from tui.widgets.buttons import ButtonRow
from tui.widgets.dialog import Dialog
from tui.widgets.row_list import RowCommands
from tui.widgets.table import Column, Table
from tui.widgets.text import clean

__all__ = ["ItemsScreen"]


class ItemsScreen(BaseScreen):
    """The screen of a list; `thing` is the word for one item, as in “Add a domain”."""

    def __init__(self, context: AppContext, attribute: str, name: str, thing: str, none: str) -> None:
        self._context = context
        self._attribute = attribute
        self._thing = thing
        self._option: Option = context.draft.section(attribute).option(name)
        self._items: list[str] = []
        self._table = Table([Column("")], self._edit, none)
        self._rows = RowCommands(self._table, lambda: self._items, self._edit, self._changed, context.may_edit)
        actions = [(name, partial(self.do, name.lower())) for name in ("Apply", "Reset", "Diff")]
        self._pane = WithHelp(self._table, ButtonRow([*self._rows.buttons, *actions]), self.help)
        self.show()

    @property
    def contexts(self) -> tuple[str, ...]:
        return ("list", "undo list", "order", "settings")

    @property
    def widget(self) -> urwid.AbstractWidget:
        return self._pane

    def show(self) -> None:
        draft = self._context.draft
        self._items[:] = split_items(draft.single(self._attribute).text(self._option))
        known = set(split_items(draft.base(self._attribute)[0].text(self._option)))
        self._table.show([[f"{' ' if item in known else '*'}{clean(item, 300)}"] for item in self._items])
        self._pane.show_help()

    def _changed(self) -> None:
        self._context.draft.single(self._attribute).set(self._option, ", ".join(self._items))
        self.show()
        self._context.shell.changed()

    def _edit(self, at: int | None) -> None:
        if not self._context.may_edit():
            return
        text = self._items[at] if at is not None else ""
        one = Option(
            "item", self._option.kind, (), self._thing.capitalize(), self._option.doc, required=True, restart=False
        )
        field = Field(self._context, one, text, text, lambda _: None)

        def accept(*_: Any) -> None:
            if field.problem:
                return
            found = split_items(self._option.kind.format(self._option.kind.parse(field.text)))
            self._context.shell.close()
            self._store(at, found)

        title = f"Change the {self._thing}" if at is not None else f"Add a {self._thing}"
        self._context.shell.open(line_dialog(self._context, title, field, accept, self._option.doc))

    def _store(self, at: int | None, found: list[str]) -> None:
        """Store one or more items, since several may be pasted at once; an item that is in the list keeps its place."""
        self._rows.remember()
        if at is not None:
            del self._items[at]
        place = len(self._items) if at is None else at
        self._items[place:place] = [item for item in found if item not in self._items]
        self._changed()
        self._table.focus_on(place)

    def do(self, command: str) -> bool:
        return self._rows.do(command) or apply.do(self._context, command, (self._attribute,))

    def focus_option(self, name: str) -> None:
        """Move the focus to the list, which is the only option here."""
        self._pane.frame.focus_position = "body"

    def help(self) -> Help | None:
        return help_of(self._option)


def line_dialog(context: AppContext, title: str, field: Field, accept: Callable[[], None], doc: str) -> Dialog:
    """Return a dialog with one field; Enter in the field means OK."""
    return Dialog(
        title,
        [field, urwid.Divider(), urwid.Text(("dim", doc))],
        [("OK", accept), ("Cancel", context.shell.close)],
        esc_asks(context.shell, lambda: field.changed),
        width=60,
        submit=accept,
    )

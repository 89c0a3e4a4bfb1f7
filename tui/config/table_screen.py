"""A screen for a table of the configuration: each row is a section of the file; single options stand above it."""

from collections.abc import Callable, Sequence
from functools import partial

import urwid

from tui.config import apply
from tui.config.draft import Row
from tui.config.field import Field
from tui.config.row_dialog import open_row
from tui.config.run_test import run_test
from tui.shell.context import AppContext
from tui.shell.help_pane import WithHelp, help_of
from tui.shell.screen import BaseScreen, Help
from tui.widgets.buttons import ButtonRow
from tui.widgets.flow import Flow
from tui.widgets.row_list import RowCommands
from tui.widgets.steady import SteadyText
from tui.widgets.table import Column, Table
from tui.widgets.text import clean

__all__ = ["TableLook", "TableScreen"]

Cells = Callable[[Row], Sequence[str]]


class TableLook:
    """The look of a table: its columns, the cells of a row, the label of a name, and the text of an empty table.

    A row of a `tested` table can be tested: its hosts are reached without sending a message.
    """

    def __init__(
        self,
        columns: Sequence[Column],
        cells: Cells,
        name_label: str,
        none: str,
        *,
        ordered: bool = True,
        tested: bool = False,
    ) -> None:
        self.columns = columns
        self.cells = cells
        self.name_label = name_label
        self.none = none
        self.ordered = ordered
        self.tested = tested


class TableScreen(BaseScreen):
    """The screen. `fields` names options of plain sections as (attribute, option); `notes` returns lines below them."""

    def __init__(
        self,
        context: AppContext,
        attribute: str,
        look: TableLook,
        fields: Sequence[tuple[str, str]] = (),
        notes: Callable[[], Sequence[str]] = tuple,
    ) -> None:
        self._context = context
        self._attribute = attribute
        self._look = look
        self._notes = notes
        self._note_text = SteadyText("")
        self._fields = [(attribute, self._field(attribute, name)) for attribute, name in fields]
        self._attributes = (attribute, *dict.fromkeys(each for each, _ in fields))
        self._table = Table(look.columns, self._edit, look.none)
        self._rows = RowCommands(
            self._table, self._items, self._edit, self._changed, context.may_edit, ordered=look.ordered
        )
        body = urwid.Pile([self._table], select_navigation=True)
        above: list[Flow] = [field for _, field in self._fields]
        if self._fields or notes is not tuple:
            above.append(self._note_text)
        body.contents[:0] = [(row, body.options("pack")) for row in above]
        actions = [(name, partial(self.do, name.lower())) for name in ("Apply", "Reset", "Diff")]
        if look.tested:
            actions.append(("Test", partial(self.do, "test")))
        self._buttons = ButtonRow([*self._rows.buttons, *actions])
        self._pane = WithHelp(body, self._buttons, self.help)
        self._body = body
        body.focus_position = len(body.contents) - 1
        self.show()

    def _field(self, attribute: str, name: str) -> Field:
        row = self._context.draft.single(attribute)
        option = row.section.option(name)
        return Field(
            self._context, option, row.text(option), self._context.draft.base(attribute)[0].text(option), self._set
        )

    def _set(self, field: Field) -> None:
        attribute = next(attribute for attribute, each in self._fields if each is field)
        if not self._context.may_edit():
            self.show()
            return
        self._context.draft.single(attribute).set(field.option, field.text)
        self._context.shell.changed()

    def _items(self) -> list[Row]:
        return self._context.draft.table(self._attribute)

    @property
    def contexts(self) -> tuple[str, ...]:
        order = ("order",) if self._look.ordered else ()
        test = ("test",) if self._look.tested else ()
        return ("list", "undo list", *order, "settings", *test)

    @property
    def widget(self) -> urwid.AbstractWidget:
        return self._pane

    def show(self) -> None:
        draft = self._context.draft
        for attribute, field in self._fields:
            field.show(draft.single(attribute).text(field.option), draft.base(attribute)[0].text(field.option))
        self._note_text.set_text("\n".join(clean(line) for line in self._notes()))
        self._table.show([self._cells(row) for row in self._items()])
        self._pane.show_help()

    def _cells(self, row: Row) -> list[str]:
        base = self._context.draft.base_row(row)
        mark = "*" if base is None or row.differs(base) else " "
        name, *rest = (clean(cell, 300) for cell in self._look.cells(row))
        return [f"{mark}{name}", *rest]

    def _changed(self) -> None:
        self.show()
        self._context.shell.changed()

    def _edit(self, at: int | None) -> None:
        if not self._context.may_edit():
            return
        items = self._items()
        row = items[at] if at is not None else Row(self._context.draft.section(self._attribute))
        taken = {each.name for each in items if each is not row}

        def stored(new: Row) -> None:
            self._rows.remember()
            if at is None:
                items.append(new)
            else:
                items[at] = new
            self._changed()
            self._table.focus_on(len(items) - 1 if at is None else at)

        open_row(self._context, row, self._look.name_label, taken, stored)

    def do(self, command: str) -> bool:
        if command == "test" and self._look.tested:
            at, items = self._table.position, self._items()
            run_test(self._context, self._attribute, items[at] if 0 <= at < len(items) else None)
            return True
        return self._rows.do(command) or apply.do(self._context, command, self._attributes)

    def focus_option(self, name: str) -> None:
        position = next((at for at, (_, field) in enumerate(self._fields) if field.option.name == name), None)
        self._pane.frame.focus_position = "body"
        self._body.focus_position = len(self._body.contents) - 1 if position is None else position

    def help(self) -> Help | None:
        at = self._body.focus_position
        if at < len(self._fields):
            return help_of(self._fields[at][1].option)
        section = self._context.draft.section(self._attribute)
        return section.tab, section.doc

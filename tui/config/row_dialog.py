"""The dialog for one row of a table of the configuration: its name and the options of its section."""

from collections.abc import Callable

import urwid

from smtpd_classic.config.option import Option
from tui.config.draft import Row, file_text
from tui.config.field import Field
from tui.config.hosts_editor import HostsEditor
from tui.shell.context import AppContext
from tui.shell.discard_question import esc_asks
from tui.shell.help_pane import help_of
from tui.shell.screen import Help
from tui.widgets.dialog import Dialog
from tui.widgets.flow import Flow

__all__ = ["open_row"]


def open_row(context: AppContext, row: Row, name_label: str, taken: set[str], stored: Callable[[Row], None]) -> None:
    """Edit a copy of `row`; OK passes it to `stored`. The row must not have one of the `taken` names."""
    _RowDialog(context, row.copy(), name_label, taken, stored).open()


class _RowDialog:
    def __init__(
        self, context: AppContext, row: Row, name_label: str, taken: set[str], stored: Callable[[Row], None]
    ) -> None:
        self._context = context
        self._row = row
        self._taken = taken
        self._stored = stored
        self._new = not row.name
        section = row.section
        kind = section.name_kind
        if kind is None:
            raise ValueError(f"[{section.word}] is no table.")
        self._name_option = Option("name", kind, "", name_label, section.doc, required=True, restart=False)
        self._name = Field(context, self._name_option, row.name, row.name, self._edited)
        self._fields = [
            Field(context, each, row.text(each), row.text(each), self._edited) for each in section.options()
        ]
        self._error = urwid.Text("")
        self._dialog = Dialog(
            f"{section.tab}: {row.name or 'new'}",
            [self._name, *self._fields, self._error],
            [("OK", self._accept), ("Cancel", context.shell.close)],
            esc_asks(context.shell, lambda: any(field.changed for field in (self._name, *self._fields))),
            width=76,
            words=_words,
            contexts=("list", "order") if any(isinstance(each.editor, HostsEditor) for each in self._fields) else (),
            do=self._do,
        )

    def open(self) -> None:
        self._context.shell.open(self._dialog)

    def _do(self, command: str) -> bool:
        """Run a command of a list on the list in focus; return True if it has run."""
        focus = self._dialog.list.focus
        return isinstance(focus, Field) and isinstance(focus.editor, HostsEditor) and focus.editor.do(command)

    def _edited(self, field: Field) -> None:
        self._error.set_text("")

    def _accept(self) -> None:
        wrong = next((field for field in (self._name, *self._fields) if field.problem), None)
        if wrong is not None:
            self._refuse(f"{wrong.option.label}: {wrong.problem}", wrong)
            return
        name = file_text(self._name_option.kind, self._name.text)
        if name in self._taken:
            self._refuse(f"There is one with the name {name} already.", self._name)
            return
        self._row.name = name
        for field in self._fields:
            if field.text != self._row.text(field.option):
                self._row.set(field.option, file_text(field.option.kind, field.text))
        self._context.shell.close()
        self._stored(self._row)

    def _refuse(self, text: str, field: Field) -> None:
        self._error.set_text(("bad", f"! {text}"))
        self._dialog.focus_on(field)


def _words(focus: Flow | None) -> Help | None:
    return help_of(focus.option) if isinstance(focus, Field) else None

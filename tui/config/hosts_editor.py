"""The editor for an ordered list of hosts with TLS, user and password: a small table with its own buttons."""

from collections.abc import Callable

import urwid

from smtpd_classic.config.kinds import BOOLEAN, HOSTS, Host, host_text
from tui.shell.context import AppContext
from tui.shell.discard_question import esc_asks
from tui.widgets.buttons import ButtonRow
from tui.widgets.dialog import Dialog
from tui.widgets.editors import CheckBoxEditor, Editor, LineEditor, SecretEditor
from tui.widgets.flow import Flow
from tui.widgets.row_list import RowCommands
from tui.widgets.table import Column, Table
from tui.widgets.text import clean

__all__ = ["HostsEditor"]

_ROWS = 4
_LABELS = ("Host, or host:PORT", "Use SSL", "User (blank: no login)", "Password")


class HostsEditor:
    def __init__(self, context: AppContext, text: str, changed: Callable[[], None]) -> None:
        self._context = context
        self._changed = changed
        self._lines = text.splitlines()
        self._table = Table([Column("")], self._edit, "No host yet.")
        self._commands = RowCommands(
            self._table, lambda: self._lines, self._edit, self._show_and_tell, context.may_edit
        )
        box = urwid.BoxAdapter(urwid.AttrMap(self._table, "field"), _ROWS)
        self.widget: urwid.AbstractWidget = urwid.Pile([box, ButtonRow(self._commands.buttons)], select_navigation=True)
        self._show()

    @property
    def text(self) -> str:
        return "\n".join(self._lines)

    @text.setter
    def text(self, text: str) -> None:
        self._lines[:] = text.splitlines()
        self._show()

    def do(self, command: str) -> bool:
        return self._commands.do(command)

    def _show(self) -> None:
        mask = HOSTS.mask
        self._table.show([[clean(mask(line) if mask else line)] for line in self._lines])

    def _show_and_tell(self) -> None:
        self._show()
        self._changed()

    def _edit(self, at: int | None) -> None:
        if not self._context.may_edit():
            return
        host = _read(self._lines[at]) if at is not None else Host("")
        if host is None:  # a line that cannot be parsed opens as an empty host
            host = Host("")
        editors: list[Editor] = [
            LineEditor(host_text(Host(host.name, host.port)) if host.name else "", _nothing),
            CheckBoxEditor(BOOLEAN.format(host.ssl), _nothing),
            LineEditor(host.user, _nothing),
            SecretEditor(host.password, _nothing),
        ]
        rows = [_labelled(label, editor) for label, editor in zip(_LABELS, editors, strict=True)]
        rows.append(urwid.Text(" SSL: on port 465 TLS from the first byte, else STARTTLS."))
        error = urwid.Text("")
        before = [editor.text for editor in editors]

        def accept() -> None:
            name, ssl, user, password = (editor.text.strip() for editor in editors)
            try:
                # The kind's own parser checks the whole line.
                (plain,) = HOSTS.parse(name) or (Host(""),)
                line = host_text(Host(plain.name, plain.port, ssl == "yes", user, password))
                HOSTS.parse(line)
            except ValueError as problem:
                error.set_text(("bad", f"! {problem} Example: {HOSTS.example.split()[0]}"))
                return
            self._store(at, line)
            self._context.shell.close()

        title = "Add a host" if at is None else "Change the host"
        buttons = [("OK", accept), ("Cancel", self._context.shell.close)]
        esc = esc_asks(self._context.shell, lambda: before != [editor.text for editor in editors])
        self._context.shell.open(Dialog(title, [*rows, error], buttons, esc, width=60))

    def _store(self, at: int | None, line: str) -> None:
        if at is None:
            self._lines.append(line)
        else:
            self._lines[at] = line
        self._show_and_tell()
        self._table.focus_on(len(self._lines) - 1 if at is None else at)


def _nothing() -> None:
    """Do nothing after an edit: the dialog reads its editors when OK closes it."""


def _labelled(label: str, editor: Editor) -> Flow:
    return urwid.Columns([urwid.Text(f" {label}"), editor.widget], dividechars=1, select_navigation=True)


def _read(line: str) -> Host | None:
    try:
        found = HOSTS.parse(line)
    except ValueError:
        return None
    return found[0] if found else None

"""A field: the label of an option, its editor, and below them the error of the value, with an example."""

from collections.abc import Callable
from typing import Any

import urwid

from smtpd_classic.config.kinds import BOOLEAN, HOSTS, Kind
from smtpd_classic.config.option import Option
from tui.config.hosts_editor import HostsEditor
from tui.shell.context import AppContext
from tui.widgets.editors import CheckBoxEditor, ChoiceEditor, Editor, LineEditor, SecretEditor
from tui.widgets.flow import Flow
from tui.widgets.steady import SteadyText

__all__ = ["Field", "editor_for", "problem_of"]


def editor_for(context: AppContext, kind: Kind[Any], text: str, changed: Callable[[], None]) -> Editor:
    """Return the editor for values of this kind. Only this function maps kinds to widgets."""
    if kind.choices == BOOLEAN.choices:
        return CheckBoxEditor(text, changed)
    if kind.choices:
        return ChoiceEditor(kind.choices, text, changed)
    if kind is HOSTS:
        return HostsEditor(context, text, changed)
    if kind.mask is not None:
        return SecretEditor(text, changed)
    return LineEditor(text, changed)


def problem_of(option: Option, text: str) -> str:
    """Return the error of the option's own parser, with an example; blank if the value is good."""
    if option.required and not text.strip():
        if option.unless:
            return ""  # the check of the file sees the other one
        example = "" if option.kind.example == option.kind.name else f" Example: {option.kind.example}"
        return f"This cannot be left blank.{example}"
    try:
        option.kind.parse(text)
    except ValueError as problem:
        sentence = str(problem)
        shown = sentence[:1].upper() + sentence[1:]
        told = option.kind.choices or any(words in shown for words in (" such as ", " as in ", "perhaps", "example"))
        return shown if told else f"{shown} Example: {option.kind.example}"
    return ""


class Field(urwid.WidgetWrap[urwid.Pile]):
    """A field. It calls `changed` after each edit, and shows a `*` if the text is not `original`, the file's text.

    `note` gives a line below a value without an error.
    """

    def __init__(
        self,
        context: AppContext,
        option: Option,
        text: str,
        original: str,
        changed: Callable[["Field"], None],
        note: Callable[[], str] = lambda: "",
    ) -> None:
        self.option = option
        self._original = original
        self._tell = changed
        self._note = note
        self._note_text = SteadyText("")
        self._mark = SteadyText("")
        self._label = SteadyText(option.label)
        self._error = SteadyText("")
        self.editor: Editor = editor_for(context, option.kind, text, self._changed)
        self._shown_problem = ""
        self._line = self._laid_out()
        super().__init__(urwid.Pile([self._line], select_navigation=True))
        self._look()

    def _laid_out(self) -> Flow:
        """Return the label beside the editor, or above an editor that needs the whole width."""
        if isinstance(self.editor, HostsEditor):
            head = urwid.Columns([(1, self._mark), self._label])
            return urwid.Pile([head, self.editor.widget], select_navigation=True)
        label = urwid.Columns([(1, self._mark), self._label])
        columns: list[Any] = [("weight", 11, label), ("weight", 12, self.editor.widget)]
        return urwid.Columns(columns, dividechars=1, select_navigation=True)

    @property
    def text(self) -> str:
        return self.editor.text

    @property
    def changed(self) -> bool:
        """Return True if the text differs from the text in the file."""
        return self.text != self._original

    @property
    def problem(self) -> str:
        return problem_of(self.option, self.text)

    def show(self, text: str, original: str) -> None:
        """Set the text and the original of the field."""
        if (self.editor.text, self._original) == (text, original):
            self.show_note()
            return
        self._original = original
        if self.editor.text != text:
            self.editor.text = text
        self._look()

    def _changed(self) -> None:
        self._tell(self)
        self._look()

    def _look(self) -> None:
        changed = self.text != self._original
        self._mark.set_text(("changed", "*" if changed else " "))
        self._label.set_text(("changed" if changed else "label", self.option.label))
        # A blank field that has not been edited shows no error.
        self._shown_problem = self.problem if changed or self._original else ""
        self._error.set_text(("bad", f"  ! {self._shown_problem}"))
        self.show_note()

    def show_note(self) -> None:
        """Show the error of the value, or the note about it, which may depend on other options."""
        rows: list[Flow] = [self._line]
        if self._shown_problem:
            rows.append(self._error)
        elif note := self._note():
            self._note_text.set_text(("dim", f"   {note}"))
            rows.append(self._note_text)
        if rows != [each for each, _ in self._w.contents]:
            self._w.contents = [(each, self._w.options("pack")) for each in rows]
            self._w.focus_position = 0

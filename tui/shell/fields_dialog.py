"""A dialog of a few fields that are no options of the file, as for an account. OK does its work beside the screen."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Generic, TypeVar

import urwid

from smtpd_classic.config.kinds import Kind
from smtpd_classic.config.option import Option
from tui.config.draft import file_text
from tui.config.field import Field
from tui.shell.context import AppContext, sentence
from tui.shell.discard_question import esc_asks
from tui.shell.screen import Help
from tui.widgets.dialog import Dialog
from tui.widgets.flow import Flow

__all__ = ["FieldsDialog", "Values", "entry"]

T = TypeVar("T")
Values = Mapping[str, str]


def entry(name: str, kind: Kind[Any], label: str, doc: str, *, required: bool = False) -> Option:
    """Return a field of a dialog: an option, so that it is shown, checked and explained as one."""
    return Option(name, kind, None, label, doc, required=required, restart=False)


class FieldsDialog(Generic[T]):
    """`work` gets the texts by name, beside the screen; its exception is shown in the dialog, which stays open then.

    `done` gets its result, after the dialog was closed. `note` gives a line below a field, by its name.
    """

    def __init__(
        self,
        context: AppContext,
        title: str,
        fields: Sequence[tuple[Option, str]],
        work: Callable[[Values], T],
        done: Callable[[T], None],
        *,
        width: int = 76,
        note: Callable[[str, Values], str] = lambda name, values: "",
    ) -> None:
        self._context = context
        self._work = work
        self._done = done
        self._working = False
        self._fields: list[Field] = []
        for option, text in fields:
            told = partial(self._note, note, option.name)
            self._fields.append(Field(context, option, text, text, self._edited, told))
        self._error = urwid.Text("")
        buttons = [("OK", self._accept), ("Cancel", context.shell.close)]
        esc = esc_asks(context.shell, lambda: any(field.changed for field in self._fields))
        self._dialog = Dialog(
            title, [*self._fields, self._error], buttons, esc, width=width, words=_words, enter_accepts=True
        )

    def open(self) -> None:
        self._context.shell.open(self._dialog)

    def _note(self, note: Callable[[str, Values], str], name: str) -> str:
        return note(name, {field.option.name: field.text for field in self._fields})

    def _edited(self, field: Field) -> None:
        self._error.set_text("")

    def _accept(self) -> None:
        if self._working:
            return
        wrong = next((field for field in self._fields if field.problem), None)
        if wrong is not None:
            self._error.set_text(("bad", f"! {wrong.option.label}: {wrong.problem}"))
            self._dialog.focus_on(wrong)
            return
        values = {field.option.name: file_text(field.option.kind, field.text) for field in self._fields}
        self._working = True
        self._error.set_text(("dim", "One moment …"))
        self._context.run(lambda: self._work(values), self._finished, self._failed)

    def _finished(self, result: T) -> None:
        self._working = False
        self._context.shell.dismiss(self._dialog)
        self._done(result)

    def _failed(self, problem: Exception) -> None:
        self._working = False
        self._error.set_text(("bad", f"! {sentence(problem)}"))


def _words(focus: Flow | None) -> Help | None:
    return (focus.option.label, focus.option.doc) if isinstance(focus, Field) else None

"""A screen for one section of the file: Basic Parameters, Remote Delivery, Server."""

from functools import partial

import urwid

from tui.config import apply
from tui.config.form import Form
from tui.config.run_test import run_test
from tui.shell.context import AppContext
from tui.shell.help_pane import WithHelp
from tui.shell.screen import BaseScreen, Help
from tui.widgets.buttons import ButtonRow

__all__ = ["SettingsScreen"]


class SettingsScreen(BaseScreen):
    """A form of one section, with its buttons."""

    more_buttons: tuple[str, ...] = ()

    def __init__(self, context: AppContext, attribute: str) -> None:
        self._context = context
        self._attribute = attribute
        self._form = Form(context, context.draft.single(attribute), context.shell.changed)
        names = ["Apply", "Reset", "Diff", *self.more_buttons, *(["Test"] if attribute == "remote" else [])]
        buttons = ButtonRow([(name, partial(self.do, name.lower())) for name in names])
        self._pane = WithHelp(self._form.widget, buttons, self._form.help)
        self._pane.show_help()

    @property
    def contexts(self) -> tuple[str, ...]:
        return ("settings", "test") if self._attribute == "remote" else ("settings",)

    @property
    def widget(self) -> urwid.AbstractWidget:
        return self._pane

    def show(self) -> None:
        self._form.show(self._context.draft.single(self._attribute))
        self._pane.show_help()

    def do(self, command: str) -> bool:
        if command == "test" and self._attribute == "remote":
            run_test(self._context, "remote", None)
            return True
        return apply.do(self._context, command, (self._attribute,))

    def focus_option(self, name: str) -> None:
        if self._form.focus_option(name):
            self._pane.frame.focus_position = "body"
            self._pane.show_help()

    def help(self) -> Help | None:
        return self._form.help()

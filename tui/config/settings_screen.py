"""A screen for one section of the file: Basic Parameters, Remote Delivery, Server."""

import urwid

from tui.config import apply
from tui.config.form import Form
from tui.shell.context import AppContext
from tui.shell.help_pane import WithHelp
from tui.shell.screen import Help
from tui.widgets.buttons import ButtonRow

__all__ = ["SettingsScreen"]


class SettingsScreen:
    def __init__(self, context: AppContext, attribute: str) -> None:
        self._context = context
        self._attribute = attribute
        self._form = Form(context, context.draft.plain(attribute), context.shell.changed)
        buttons = ButtonRow([("Apply", self._apply), ("Reset", self._reset), ("Diff", self._diff)])
        self._pane = WithHelp(self._form.widget, buttons, self._form.help)
        self._pane.tell()

    @property
    def contexts(self) -> tuple[str, ...]:
        return ("settings",)

    @property
    def widget(self) -> urwid.AbstractWidget:
        return self._pane

    def show(self) -> None:
        self._form.show(self._context.draft.plain(self._attribute))
        self._pane.tell()

    def tick(self) -> None:
        """Do nothing: this screen changes only when a key is pressed."""

    def do(self, command: str) -> bool:
        return apply.do(self._context, command, (self._attribute,))

    def _apply(self) -> None:
        self.do("apply")

    def _reset(self) -> None:
        self.do("reset")

    def _diff(self) -> None:
        self.do("diff")

    def focus_option(self, name: str) -> None:
        if self._form.focus_option(name):
            self._pane.frame.focus_position = "body"
            self._pane.tell()

    def help(self) -> Help | None:
        return self._form.help()

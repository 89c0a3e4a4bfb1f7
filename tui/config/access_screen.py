"""Access Control: the clients that may connect, and the addresses that are blocked now."""

from functools import partial

import urwid

from smtpd_classic.runtime import Block
from tui.config import apply
from tui.config.form import Form
from tui.shell.context import AppContext
from tui.shell.help_pane import WithHelp
from tui.shell.screen import BaseScreen, Help
from tui.widgets.buttons import ButtonRow
from tui.widgets.flow import Flow
from tui.widgets.table import Column, TableRow
from tui.widgets.text import clean, span

__all__ = ["AccessScreen"]

_COLUMNS = (Column("Blocked address", share=2), Column("Ends in", 8), Column("Why", share=2))


class AccessScreen(BaseScreen):
    """The form of the section, and below its fields the blocked addresses; Enter or b unblocks one."""

    attribute = "access"

    def __init__(self, context: AppContext) -> None:
        self._context = context
        self._blocks: list[Block] = []
        self._form = Form(context, context.draft.single("access"), context.shell.changed)
        self._fixed = len(self._form.fields)
        actions = [(name, partial(self.do, name.lower())) for name in ("Apply", "Reset", "Diff")]
        self._pane = WithHelp(self._form.widget, ButtonRow(actions), self.help)
        self._show_blocks()
        self._pane.show_help()

    @property
    def contexts(self) -> tuple[str, ...]:
        return ("blocked", "settings") if self._chosen() else ("settings",)

    @property
    def widget(self) -> urwid.AbstractWidget:
        return self._pane

    def show(self) -> None:
        self._form.show(self._context.draft.single("access"))
        self.tick()
        self._pane.show_help()

    def tick(self) -> None:
        self._context.run(self._context.runtime.blocks.list, self._listed)

    def _listed(self, blocks: list[Block]) -> None:
        if [each.ip for each in blocks] != [each.ip for each in self._blocks] or blocks:
            self._blocks = blocks
            self._show_blocks()

    def _show_blocks(self) -> None:
        now = self._context.clock()
        rows: list[Flow] = [urwid.Divider()]
        rows.append(urwid.WidgetDisable(TableRow(_COLUMNS, [each.title for each in _COLUMNS], lambda: None, "head")))
        for each in self._blocks:
            ip = f"{each.ip}/64" if each.ip.endswith("::") else each.ip
            cells = [clean(ip), span(each.until - now), clean(each.reason, 200)]
            rows.append(TableRow(_COLUMNS, cells, self._unblock))
        if not self._blocks:
            rows.append(urwid.Text(("dim", "No address is blocked.")))
        self._form.show_after(rows)

    def _chosen(self) -> str:
        at = self._form.position - self._fixed - 2
        return self._blocks[at].ip if 0 <= at < len(self._blocks) else ""

    def _unblock(self) -> None:
        ip = self._chosen()
        if ip:
            blocks = self._context.runtime.blocks
            self._context.run(lambda: blocks.unblock(ip), lambda _: self._unblocked(ip))

    def _unblocked(self, ip: str) -> None:
        self._context.shell.say(f"{ip} may connect again.", "good")
        self.tick()

    def do(self, command: str) -> bool:
        if command == "unblock":
            self._unblock()
            return True
        return apply.do(self._context, command, ("access",))

    def focus_option(self, name: str) -> None:
        if self._form.focus_option(name):
            self._pane.frame.focus_position = "body"
            self._pane.show_help()

    def help(self) -> Help | None:
        if self._chosen():
            return (
                "Blocked address",
                "Enter or b lets the address connect again at once. It was blocked by hand or for failures.",
            )
        return self._form.help()

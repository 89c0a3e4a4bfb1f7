"""Access Control: who may connect, and which addresses are blocked now."""

from functools import partial

import urwid

from smtpd_classic.runtime import Block
from tui import applying
from tui.buttons import ButtonRow
from tui.desk import Desk
from tui.flow import Flow
from tui.form import Form
from tui.helppane import WithHelp
from tui.screen import Help
from tui.table import Column, Line
from tui.text import clean, span

__all__ = ["Access"]

_COLUMNS = (Column("Blocked address", share=2), Column("Ends in", 8), Column("Why", share=2))


class Access:
    """The form of the section, and below its fields the blocked addresses, each with Enter or b to let it in again."""

    attribute = "access"

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._blocks: list[Block] = []
        self._form = Form(desk, desk.draft.plain("access"), desk.stage.changed)
        self._fixed = len(self._form.fields)
        actions = [(name, partial(self.do, name.lower())) for name in ("Apply", "Reset", "Diff")]
        self._pane = WithHelp(self._form.widget, ButtonRow(actions), self.help)
        self._show_blocks()
        self._pane.tell()

    @property
    def contexts(self) -> tuple[str, ...]:
        return ("blocked", "settings") if self._chosen() else ("settings",)

    @property
    def widget(self) -> urwid.AbstractWidget:
        return self._pane

    def show(self) -> None:
        self._form.show(self._desk.draft.plain("access"))
        self.tick()
        self._pane.tell()

    def tick(self) -> None:
        self._desk.run(self._desk.runtime.blocks.list, self._listed)

    def _listed(self, blocks: list[Block]) -> None:
        if [each.ip for each in blocks] != [each.ip for each in self._blocks] or blocks:
            self._blocks = blocks
            self._show_blocks()

    def _show_blocks(self) -> None:
        now = self._desk.clock()
        rows: list[Flow] = [urwid.Divider()]
        rows.append(urwid.WidgetDisable(Line(_COLUMNS, [each.title for each in _COLUMNS], lambda: None, "head")))
        for each in self._blocks:
            ip = f"{each.ip}/64" if each.ip.endswith("::") else each.ip
            cells = [clean(ip), span(each.until - now), clean(each.reason, 200)]
            rows.append(Line(_COLUMNS, cells, self._unblock))
        if not self._blocks:
            rows.append(urwid.Text(("dim", "Nobody is blocked now.")))
        self._form.show_after(rows)

    def _chosen(self) -> str:
        at = self._form.position - self._fixed - 2
        return self._blocks[at].ip if 0 <= at < len(self._blocks) else ""

    def _unblock(self) -> None:
        ip = self._chosen()
        if ip:
            blocks = self._desk.runtime.blocks
            self._desk.run(lambda: blocks.unblock(ip), lambda _: self._unblocked(ip))

    def _unblocked(self, ip: str) -> None:
        self._desk.stage.say(f"{ip} may connect again.", "good")
        self.tick()

    def do(self, command: str) -> bool:
        if command == "unblock":
            self._unblock()
            return True
        return applying.do(self._desk, command, ("access",))

    def focus_option(self, name: str) -> None:
        if self._form.focus_option(name):
            self._pane.frame.focus_position = "body"
            self._pane.tell()

    def help(self) -> Help | None:
        if self._chosen():
            return (
                "Blocked address",
                "Enter or b lets the address connect again at once. It was blocked by hand or for failures.",
            )
        return self._form.help()

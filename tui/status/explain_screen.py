"""Explain: whether the server would accept a message, and which line of the file decides it, by the server's code."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import urwid

from smtpd_classic.config.kinds import SIZE, TEXT, choice
from smtpd_classic.explanation import Explanation, Question, explanation
from tui.config.field import Field
from tui.shell.context import AppContext
from tui.shell.fields_dialog import entry
from tui.shell.help_pane import WithHelp
from tui.shell.screen import BaseScreen, Help
from tui.widgets.buttons import ButtonRow
from tui.widgets.flow import Flow
from tui.widgets.text import clean

__all__ = ["ExplainScreen"]

_AUTOMATIC = "the one that fits"


class ExplainScreen(BaseScreen):
    contexts = ("explain",)

    def __init__(self, context: AppContext) -> None:
        self._context = context
        names = [row.name for row in context.draft.base("listeners")]
        fields = (
            (
                entry("ip", TEXT, "Client's IP address", "The address that the client connects from.", required=True),
                "192.0.2.1",
            ),
            (entry("sender", TEXT, "Sender", "The envelope sender. Blank: the null sender, as of bounces."), ""),
            (entry("recipient", TEXT, "Recipient", "The envelope recipient.", required=True), self._postmaster()),
            (entry("login", TEXT, "Logged in as", "The account that the client has logged in with; blank: none."), ""),
            (entry("size", SIZE, "Size", "The size that the client declares, as in 5M. 0: none."), "0"),
            (
                entry("listener", choice(_AUTOMATIC, *names), "Listener", "The port that the client connects to."),
                _AUTOMATIC,
            ),
        )
        self._first = [text for _, text in fields]
        self._fields = [Field(context, option, text, text, lambda _: None) for option, text in fields]
        self._walker: urwid.SimpleFocusListWalker[Flow] = urwid.SimpleFocusListWalker([])
        self._show_rows([urwid.Text(("dim", " [Explain] or F2 asks the server's own rules. Nothing is sent."))])
        self._list: urwid.ListBox[int] = urwid.ListBox(self._walker, select_navigation=True)
        body: Any = urwid.ScrollBar(self._list, thumb_attr="rule", delegate_selectable=True)
        self._pane = WithHelp(body, ButtonRow([("Explain", partial(self.do, "explain"))]), self.help)

    def _postmaster(self) -> str:
        config = self._context.source.config
        return config.postmaster if config is not None else ""

    @property
    def widget(self) -> urwid.AbstractWidget:
        return self._pane

    def show(self) -> None:
        self._pane.show_help()

    def fill(self, values: Mapping[str, str]) -> None:
        """Ask about these values; a field without one becomes blank, or gets its first value."""
        for field, first in zip(self._fields, self._first, strict=True):
            field.show(values.get(field.option.name, first), first)
        self.do("explain")

    def help(self) -> Help | None:
        focus = self._walker[self._walker.focus] if self._walker.focus is not None else None
        if isinstance(focus, Field):
            return focus.option.label, focus.option.doc
        return "Explain", "Answers as the server would at RCPT, with every check that was asked."

    def do(self, command: str) -> bool:
        if command != "explain":
            return False
        config = self._context.usable_config()
        wrong = next((field for field in self._fields if field.problem), None)
        if config is None:
            return True
        if wrong is not None:
            self._context.shell.say(f"{wrong.option.label}: {wrong.problem}", "bad", lambda: bool(wrong.problem))
        else:
            ip, sender, recipient, login, size, listener = (field.text.strip() for field in self._fields)
            question = Question(ip, sender.strip("<>"), recipient.strip("<>"), login, SIZE.parse(size))
            named = "" if listener == _AUTOMATIC else listener
            self._show_rows([urwid.Text(("dim", " Asking …"))])
            self._context.run(lambda: explanation(config, question, named), self._explained, self._not_explained)
        return True

    def _show_rows(self, rows: list[Flow]) -> None:
        focus = self._walker.focus
        self._walker[:] = [*self._fields, urwid.Divider(), *rows]
        self._walker.set_focus(min(focus or 0, len(self._fields) - 1))

    def _not_explained(self, problem: Exception) -> None:
        self._show_rows([])
        self._context.failure(problem)

    def _explained(self, found: Explanation) -> None:
        step = found.decided
        place = f" ([{step.section}] {step.option}, {step.place})" if step.option else ""
        verdict = "✓ ACCEPTED" if found.accepted else "✗ REFUSED"
        look = "good" if found.accepted else "bad"
        rows: list[Flow] = [
            urwid.Text([(look, f" {verdict}: "), clean(str(found.reply), 500)]),
            urwid.Text(clean(f" because {step.outcome}{place}", 700)),
        ]
        if found.targets:
            rows.append(urwid.Text(clean(" goes to " + ", ".join(found.targets), 700)))
        rows.append(urwid.Divider())
        rows += [_step(each.command, each.check, each.outcome, decided=each == step) for each in found.steps]
        self._show_rows(rows)
        self._context.shell.say(f"{'Accepted' if found.accepted else 'Refused'}: {clean(str(found.reply), 300)}", look)


def _step(command: str, check: str, outcome: str, *, decided: bool) -> Flow:
    look = "help label" if decided else "help"
    mark = "›" if decided else " "
    columns = [(9, urwid.Text((look, f"{mark}{command}"))), (30, urwid.Text((look, check), wrap="ellipsis"))]
    return urwid.Columns([*columns, urwid.Text((look, clean(outcome, 400)))], dividechars=1)

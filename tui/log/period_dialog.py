"""The question for a period of the log."""

from collections.abc import Callable
from functools import partial

import urwid

from tui.log.times import ALWAYS, PERIODS, Period, day_period, last
from tui.shell.context import AppContext
from tui.widgets.buttons import Word
from tui.widgets.dialog import Dialog
from tui.widgets.editors import TextField
from tui.widgets.flow import Flow

__all__ = ["ask_period"]


def ask_period(context: AppContext, chosen: Callable[[Period], None]) -> None:
    """Ask for the last hours or days, or for one day."""
    field, wrong = TextField("", ""), urwid.Text("")

    def choose(period: Period) -> None:
        context.shell.close()
        chosen(period)

    def accept() -> None:
        try:
            choose(day_period(field.get_edit_text()))
        except ValueError as problem:
            wrong.set_text(("bad", f"! {problem}"))

    now = context.clock()
    choices = [("All lines", ALWAYS), *((f"The last {label}", last(label, long, now)) for label, long in PERIODS)]
    rows: list[Flow] = [
        urwid.AttrMap(Word(f" {label}", partial(choose, period)), "button", "button focus") for label, period in choices
    ]
    rows += [
        urwid.Divider(),
        urwid.Text(("dim", "Or one day, as in 2026-03-07:")),
        urwid.AttrMap(field, "field", "field focus"),
        wrong,
    ]
    buttons = [("Show the day", accept), ("Cancel", context.shell.close)]
    context.shell.open(Dialog("Period of the log", rows, buttons, context.shell.close, submit=accept))

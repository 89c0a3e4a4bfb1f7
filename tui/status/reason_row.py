"""A row of Status for mail that waits: the next hop, the reason, and the ways to test it and to see the messages."""

from typing import Any

import urwid

from tui.config.run_test import test_domain
from tui.shell.context import AppContext
from tui.status.findings import WaitReason
from tui.widgets.buttons import button
from tui.widgets.flow import Flow
from tui.widgets.text import count, day_and_clock

__all__ = ["reason_row"]


def reason_row(context: AppContext, reason: WaitReason) -> Flow:
    def show() -> None:
        context.shell.go("Queue", reason.next_hop.rpartition(":")[0] or reason.next_hop)

    messages = "1 message waits" if reason.messages == 1 else f"{count(reason.messages)} messages wait"
    since = day_and_clock(reason.since, context.clock())
    test = button("Test", lambda: test_domain(context, reason.domain))
    buttons = [
        (len(each.text), urwid.AttrMap(each, "button", "button focus")) for each in (test, button("Queue", show))
    ]
    cells: list[Any] = [urwid.Text(("warn", f" ! {messages} for {reason.next_hop}")), *buttons]
    first = urwid.Columns(cells, dividechars=1, select_navigation=True)
    words = urwid.Text(("warn", f"{reason.reason} (since {since})"))
    return urwid.Pile([first, urwid.Padding(words, left=3)], select_navigation=True)

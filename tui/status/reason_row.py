"""A row of Status for mail that waits: the next hop, the reason, and the ways to test it and to see the messages."""

from typing import Any

import urwid

from tui.config.run_test import test_domain
from tui.shell.context import AppContext
from tui.status.reasons import WaitReason
from tui.widgets.buttons import button
from tui.widgets.flow import Flow
from tui.widgets.text import count, day_and_clock

__all__ = ["reason_row"]


def reason_row(context: AppContext, reason: WaitReason, label: str) -> Flow:
    def show() -> None:
        context.shell.go("Queue", reason.next_hop.rpartition(":")[0] or reason.next_hop)

    messages = "1 message waits" if reason.messages == 1 else f"{count(reason.messages)} messages wait"
    since = day_and_clock(reason.since, context.clock())
    text = f"! {messages} for {reason.next_hop}: {reason.reason} (since {since})"
    test = button("Test", lambda: test_domain(context, reason.domain))
    buttons = [
        (len(each.text), urwid.AttrMap(each, "button", "button focus")) for each in (test, button("Queue", show))
    ]
    cells: list[Any] = [(12, urwid.Text(("head", f" {label}"))), urwid.Text(("warn", text)), *buttons]
    return urwid.Columns(cells, dividechars=1, select_navigation=True)

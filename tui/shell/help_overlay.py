"""The help overlay: the manual's words for the field in focus, then every key that acts here. Enter runs a command."""

from collections.abc import Callable

import urwid

from tui.shell.context import AppContext
from tui.shell.key_names import key_text
from tui.shell.keys import CONTEXTS, EVERYWHERE, Binding, bindings_of
from tui.shell.screen import Screen
from tui.widgets.buttons import button
from tui.widgets.dialog import Dialog, paragraphs
from tui.widgets.flow import Flow
from tui.widgets.text import clean

__all__ = ["overlay"]

_MOVING = (
    "Tab and Shift-Tab go from control to control, the arrows move by rows. Enter moves on in a form and presses a "
    "button; Space ticks a box, opens a list and presses a button. In a text field every character is text; keys "
    "without Ctrl, Alt or F act elsewhere only."
)


def overlay(context: AppContext, screen: Screen, contexts: tuple[str, ...], run: Callable[[str], None]) -> Dialog:
    rows: list[Flow] = []
    found = screen.help()
    if found is not None:
        rows += [urwid.Text(("help label", clean(found[0]))), *paragraphs(found[1]), urwid.Divider()]
    for where in (*contexts, EVERYWHERE):
        rows.append(urwid.Text(("head", CONTEXTS[where])))
        rows += [_line(context, each, run) for each in bindings_of((where,)) if each.where == where]
    rows += [urwid.Divider(), urwid.Text(_MOVING)]
    return Dialog("Help and keys", rows, [("Close", context.shell.close)], context.shell.close, width=76)


def _line(context: AppContext, binding: Binding, run: Callable[[str], None]) -> Flow:
    def chosen() -> None:
        context.shell.close()
        run(binding.command)

    keys = ", ".join(key_text(key) for key in binding.keys)
    word = urwid.AttrMap(button(binding.label, chosen), "button", "button focus")
    return urwid.Columns([(13, word), (22, urwid.Text(keys)), urwid.Text(binding.doc)], dividechars=1)

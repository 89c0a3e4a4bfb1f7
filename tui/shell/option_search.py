"""Finds an option by any word of its label, name or help, and goes to its screen."""

from collections.abc import Iterator
from typing import Any

import urwid

from smtpd_classic.config.option import Option, Section
from smtpd_classic.config.schema import SECTIONS
from tui.shell.context import AppContext
from tui.widgets.buttons import button
from tui.widgets.dialog import Dialog
from tui.widgets.editors import TextField
from tui.widgets.flow import Flow

__all__ = ["dialog", "matches"]

_SHOWN = 12


def matches(words: str) -> Iterator[tuple[Section, Option]]:
    """The options that hold all the words; those with them in their label come first."""
    wanted = words.casefold().split()
    later: list[tuple[Section, Option]] = []
    for section in SECTIONS:
        for option in section.options():
            label = f"{option.label} {option.name}".casefold()
            if all(word in label for word in wanted):
                yield section, option
            elif all(word in f"{label} {option.doc} {section.tab}".casefold() for word in wanted):
                later.append((section, option))
    yield from later


def dialog(context: AppContext) -> Dialog:
    edit = TextField("Find: ")
    found = urwid.Pile([urwid.Divider()], select_navigation=True)

    def show(*_: Any) -> None:
        pairs = list(matches(edit.get_edit_text()))[:_SHOWN] if edit.get_edit_text().strip() else []
        rows = [(_row(context, section, option), found.options("pack")) for section, option in pairs]
        found.contents = rows or [(urwid.Text(("dim", "Type a word, as in “tls” or “size”.")), found.options("pack"))]

    def first(*_: Any) -> None:
        pair = next(matches(edit.get_edit_text()), None)
        if pair is not None:
            _go(context, *pair)

    urwid.connect_signal(edit, "postchange", show)
    urwid.connect_signal(edit, "submit", first)
    show()
    rows: list[Flow] = [urwid.AttrMap(edit, "field", "field focus"), found]
    return Dialog("Find an option", rows, [("Close", context.shell.close)], context.shell.close)


def _go(context: AppContext, section: Section, option: Option) -> None:
    context.shell.close()
    context.shell.go(section.tab, option.name)


def _row(context: AppContext, section: Section, option: Option) -> Flow:
    word = button(option.label, lambda: _go(context, section, option))
    return urwid.Columns(
        [urwid.AttrMap(word, "button", "button focus"), (20, urwid.Text(("dim", section.tab)))], dividechars=1
    )

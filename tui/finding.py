"""Finds an option by any word of its label, name or help, and goes to its screen."""

from collections.abc import Iterator
from typing import Any

import urwid

from smtpd_classic.config.option import Option, Section
from smtpd_classic.config.schema import SECTIONS
from tui.buttons import button
from tui.desk import Desk
from tui.dialog import Dialog
from tui.editors import TextField
from tui.flow import Flow

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


def dialog(desk: Desk) -> Dialog:
    edit = TextField("Find: ")
    found = urwid.Pile([urwid.Divider()], select_navigation=True)

    def show(*_: Any) -> None:
        pairs = list(matches(edit.get_edit_text()))[:_SHOWN] if edit.get_edit_text().strip() else []
        rows = [(_row(desk, section, option), found.options("pack")) for section, option in pairs]
        found.contents = rows or [(urwid.Text(("dim", "Type a word, as in “tls” or “size”.")), found.options("pack"))]

    def first(*_: Any) -> None:
        pair = next(matches(edit.get_edit_text()), None)
        if pair is not None:
            _go(desk, *pair)

    urwid.connect_signal(edit, "postchange", show)
    urwid.connect_signal(edit, "submit", first)
    show()
    rows: list[Flow] = [urwid.AttrMap(edit, "field", "field focus"), found]
    return Dialog("Find an option", rows, [("Close", desk.stage.close)], desk.stage.close)


def _go(desk: Desk, section: Section, option: Option) -> None:
    desk.stage.close()
    desk.stage.go(section.tab, option.name)


def _row(desk: Desk, section: Section, option: Option) -> Flow:
    word = button(option.label, lambda: _go(desk, section, option))
    return urwid.Columns(
        [urwid.AttrMap(word, "button", "button focus"), (20, urwid.Text(("dim", section.tab)))], dividechars=1
    )

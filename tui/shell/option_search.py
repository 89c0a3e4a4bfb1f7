"""The command palette: finds options, screens and actions by any word, and goes there."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import islice
from typing import Any, NamedTuple

import urwid

from smtpd_classic.config.option import Option, Section
from smtpd_classic.config.schema import SECTIONS
from tui.shell.context import AppContext
from tui.shell.key_names import key_text
from tui.shell.keys import bindings_of
from tui.widgets.buttons import button
from tui.widgets.dialog import Dialog
from tui.widgets.editors import TextField
from tui.widgets.flow import Flow

__all__ = ["dialog", "matches"]

_SHOWN = 12


def matches(words: str) -> Iterator[tuple[Section, Option]]:
    """Yield the options that hold all the words: in their label, then in their name, then in their description."""
    wanted = words.casefold().split()
    by_name: list[tuple[Section, Option]] = []
    by_text: list[tuple[Section, Option]] = []
    for section in SECTIONS:
        for option in section.options():
            label = option.label.casefold()
            if all(word in label for word in wanted):
                yield section, option
            elif all(word in f"{label} {option.name}".casefold() for word in wanted):
                by_name.append((section, option))
            elif all(word in f"{label} {option.name} {option.doc} {section.tab}".casefold() for word in wanted):
                by_text.append((section, option))
    yield from by_name
    yield from by_text


class FoundPlace(NamedTuple):
    """One line of the results: a screen, an option or an action."""

    label: str
    kind: str
    go: Callable[[], object]


def dialog(context: AppContext, titles: Sequence[str], contexts: Sequence[str], run: Callable[[str], object]) -> Dialog:
    """Return the dialog that finds screens, options and the actions of the screen in view."""
    edit = TextField("Find: ")
    found = urwid.Pile([urwid.Divider()], select_navigation=True)

    def places() -> list[FoundPlace]:
        words = edit.get_edit_text()
        return list(islice(_places(context, words, titles, contexts, run), _SHOWN)) if words.strip() else []

    def show(*_: Any) -> None:
        rows = [(_row(context, each), found.options("pack")) for each in places()]
        hint = "Type a word, as in “tls”, “queue” or “retry”."
        found.contents = rows or [(urwid.Text(("dim", hint)), found.options("pack"))]

    def first(*_: Any) -> None:
        for each in places()[:1]:
            _go(context, each)

    urwid.connect_signal(edit, "postchange", show)
    urwid.connect_signal(edit, "submit", first)
    show()
    rows: list[Flow] = [urwid.AttrMap(edit, "field", "field focus"), found]
    title = "Find an option, a screen or an action"
    return Dialog(title, rows, [("Close", context.shell.close)], context.shell.close)


def _places(
    context: AppContext, words: str, titles: Sequence[str], contexts: Sequence[str], run: Callable[[str], object]
) -> Iterator[FoundPlace]:
    """Yield screens that begin with the words, then options, then other screens and actions with the words."""
    wanted = words.casefold().split()
    start = " ".join(wanted)
    first = [title for title in titles if title.casefold().startswith(start)]
    for title in first:
        yield FoundPlace(title, "screen", partial(context.shell.go, title))
    for section, option in matches(words):
        yield FoundPlace(option.label, section.tab, partial(context.shell.go, section.tab, option.name))
    for title in titles:
        if title not in first and all(word in title.casefold() for word in wanted):
            yield FoundPlace(title, "screen", partial(context.shell.go, title))
    for each in bindings_of(contexts):
        if all(word in f"{each.label} {each.doc}".casefold() for word in wanted):
            yield FoundPlace(each.label, f"action, {key_text(each.keys[0])}", partial(run, each.command))


def _go(context: AppContext, place: FoundPlace) -> None:
    context.shell.close()
    place.go()


def _row(context: AppContext, place: FoundPlace) -> Flow:
    word = urwid.AttrMap(button(place.label, lambda: _go(context, place)), "button", "button focus")
    return urwid.Columns([word, (20, urwid.Text(("dim", place.kind)))], dividechars=1)

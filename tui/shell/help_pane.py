"""A screen above, below it the buttons and the manual's words for the field in focus, as far as the height allows."""

from collections.abc import Callable
from typing import Any

import urwid

from smtpd_classic.config.option import Option
from tui.shell.keys import command_for
from tui.shell.screen import Help
from tui.widgets.flow import Flow
from tui.widgets.steady import SteadyText

__all__ = ["PAGE_KEYS", "WithHelp", "help_of"]

PAGE_KEYS = frozenset({"page up", "page down", "home", "end"})  # they scroll, also from the buttons

_HEIGHTS = ((19, 6), (15, 4))  # from so many rows of screen, so many for rule and help
_TALL = 22  # a quarter of the rows above this is for help too


def help_of(option: Option) -> Help:
    """Return the option's help, with its kind, its default and the time when a change takes effect."""
    sentences = [
        f"{'An' if option.kind.name[:1] in 'aeiou' else 'A'} {option.kind.name}."
        if not option.kind.name.startswith(("one of", "yes"))
        else f"{option.kind.name.capitalize()}."
    ]
    if not option.required:
        sentences.append(f"Default: {option.default_text or 'blank'}.")
    if option.restart:
        sentences.append("A change waits for a restart.")
    return f"{option.label}  ({option.name})", f"{option.doc} {' '.join(sentences)}"


class WithHelp(urwid.WidgetWrap[urwid.Frame[Any, Any, Any]]):
    """`words` gives the help of the field in focus; `moved` is called after each key and click, before it."""

    def __init__(
        self,
        body: urwid.AbstractWidget,
        buttons: Flow | None,
        words: Callable[[], Help | None],
        moved: Callable[[], None] = lambda: None,
    ) -> None:
        self._moved = moved
        self._words = words
        self._label = SteadyText("", wrap="ellipsis")
        self._text = urwid.Text("")
        rule = urwid.AttrMap(urwid.Divider("─"), "rule")
        text = urwid.Padding(urwid.AttrMap(self._text, "help"), left=1)
        self._more = SteadyText("")
        head = urwid.Columns([urwid.AttrMap(self._label, "help label"), ("pack", self._more)], dividechars=1)
        self._scrolled: urwid.ListBox[int] = urwid.ListBox(urwid.SimpleFocusListWalker([text]))
        self._pane = urwid.Pile([("pack", rule), ("pack", head), self._scrolled])
        self._buttons = buttons
        self._height = -1
        self._offset = 0  # lines of the help above its first line in view
        super().__init__(urwid.Frame(body, select_navigation=True))
        self._arrange(24)

    @property
    def frame(self) -> urwid.Frame[Any, Any, Any]:
        return self._w

    def _arrange(self, rows: int) -> None:
        height = next((height for least, height in _HEIGHTS if rows >= least), 0) + max(0, rows - _TALL) // 4
        if height == self._height:
            return
        self._height = height
        parts: list[Flow] = [self._buttons] if self._buttons is not None else []
        if height:
            parts.append(urwid.BoxAdapter(self._pane, height))
        in_footer = self._w.focus_position == "footer"
        self._w.footer = urwid.Pile(parts, select_navigation=True) if parts else None
        if in_footer and self._buttons is not None:
            self._w.focus_position = "footer"

    def show_help(self) -> None:
        """Show the help of the field in focus."""
        label, text = self._words() or ("", "")
        self._label.set_text(f" {label}")
        if text != self._text.text:
            self._text.set_text(text)
            self._offset = 0

    def _show_more(self, columns: int) -> None:
        """Scroll the help to its offset, and mark the directions in which it goes on."""
        room, needed = max(1, self._height - 2), self._text.rows((max(1, columns - 1),))
        self._offset = max(0, min(self._offset, needed - room))
        self._scrolled.set_focus_valign(("relative", 0))
        self._scrolled.shift_focus((columns, room), -self._offset)
        up, down = "▲" if self._offset else "", "▼ more" if self._offset + room < needed else ""
        self._more.set_text(("help label", f"{up} {down}".strip()))

    def render(self, size: Any, focus: bool = False) -> urwid.Canvas:
        self._arrange(size[1])
        if self._height:
            self._show_more(size[0])
        return self._w.render(size, focus)

    def keypress(self, size: Any, key: str) -> str | None:
        self._arrange(size[1])
        command = command_for(key, ())
        if command in {"help down", "help up"}:
            self._offset += 1 if command == "help down" else -1
            self._invalidate()
            return None
        unhandled = self._w.keypress(size, key)
        if unhandled == "enter":  # in a text field: on to the next one
            unhandled = self._w.keypress(size, "tab") and None
        if unhandled in {"down", "up"} and self._buttons is not None:
            unhandled = self._between(unhandled)
        if unhandled in PAGE_KEYS and self._w.focus_position == "footer" and self._w.body.selectable():
            self._w.focus_position = "body"
            unhandled = self._w.keypress(size, unhandled)
        self._moved()
        self.show_help()
        return unhandled

    def _between(self, key: str) -> str | None:
        """Move between the last field and the buttons with the arrows."""
        if key == "down" and self._w.focus_position == "body":
            self._w.focus_position = "footer"
            return None
        if key == "up" and self._w.focus_position == "footer" and self._w.body.selectable():
            self._w.focus_position = "body"
            return None
        return key

    def mouse_event(self, size: Any, event: str, button: int, col: int, row: int, focus: bool) -> bool | None:
        self._arrange(size[1])
        handled = self._w.mouse_event(size, event, button, col, row, focus)
        self._moved()
        self.show_help()
        return handled

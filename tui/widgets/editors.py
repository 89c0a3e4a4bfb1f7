"""Editors for one value: a line of text, a secret, a box to tick, a list that drops down.

Every editor has `text` (get and set) and calls back after a change. Editors do not check values; the option's parser
does.
"""

from collections.abc import Callable
from typing import Any, ClassVar, Protocol

import urwid

from tui.widgets.buttons import Word
from tui.widgets.text import clean

__all__ = ["CheckBoxEditor", "ChoiceEditor", "Editor", "LineEditor", "SecretEditor", "TextField"]

_MASK = "********"  # the same length for every secret
_STAY = frozenset({"backspace", "delete", "left", "right", "home", "end", "ctrl u", "ctrl k", "ctrl w"})
Changed = Callable[[], None]


class Editor(Protocol):
    @property
    def text(self) -> str: ...

    @text.setter
    def text(self, text: str) -> None: ...

    @property
    def widget(self) -> urwid.AbstractWidget: ...


class TextField(urwid.Edit):
    """An Edit that never passes on editing keys: Backspace at its start must not act elsewhere."""

    def get_pref_col(self, size: Any) -> Any:
        # When the focus comes from above or below, put the cursor behind the text, not in the old column.
        return urwid.Align.RIGHT

    def keypress(self, size: Any, key: str) -> str | None:
        unhandled = super().keypress(size, key)
        return None if unhandled in _STAY else unhandled

    def paste(self, text: str) -> None:
        """Insert pasted text with one change, however long it is."""
        self.insert_text("".join(char for char in text if self.valid_char(char)))


class LineEditor:
    def __init__(self, text: str, changed: Changed, *, multiline: bool = False) -> None:
        self._original = text
        self._shown = _editable(text, multiline=multiline)
        self._edit = TextField("", self._shown, multiline=multiline, wrap="any")
        urwid.connect_signal(self._edit, "postchange", lambda *_: changed())
        self.widget: urwid.AbstractWidget = urwid.AttrMap(self._edit, "field", "field focus")

    @property
    def text(self) -> str:
        # Some characters cannot be shown. If the user has not edited the text, return the original with them.
        now = self._edit.get_edit_text()
        return self._original if now == self._shown else now

    @text.setter
    def text(self, text: str) -> None:
        self._original = text
        self._shown = _editable(text, multiline=self._edit.multiline)
        self._edit.set_edit_text(self._shown, edit_pos=len(self._shown))


def _editable(text: str, *, multiline: bool) -> str:
    lines = text.split("\n") if multiline else [text]
    return "\n".join(clean(line, 100_000) for line in lines)


class SecretEditor:
    """An editor that shows that there is a secret, but not its length. The first key typed begins a new secret."""

    def __init__(self, text: str, changed: Changed) -> None:
        self._original = text
        self._edit = SecretField(_MASK if text else "")
        urwid.connect_signal(self._edit, "postchange", lambda *_: changed())
        self.widget: urwid.AbstractWidget = urwid.AttrMap(self._edit, "field", "field focus")

    @property
    def text(self) -> str:
        return self._original if self._edit.untouched else self._edit.get_edit_text()

    @text.setter
    def text(self, text: str) -> None:
        self._original = text
        self._edit.untouched = True
        self._edit.set_edit_text(_MASK if text else "")


class SecretField(TextField):
    def __init__(self, text: str) -> None:
        self.untouched = True
        super().__init__("", text, mask="*", wrap="clip")

    def keypress(self, size: Any, key: str) -> str | None:
        if self.untouched and (self.valid_char(key) or key in {"backspace", "delete", "ctrl u", "ctrl w"}):
            self.untouched = False
            self.set_edit_text("")
            if not self.valid_char(key):
                return None
        return super().keypress(size, key)

    def paste(self, text: str) -> None:
        if self.untouched:
            self.untouched = False
            self.set_edit_text("")
        super().paste(text)


class ChoiceEditor:
    def __init__(self, words: tuple[str, ...], text: str, changed: Changed) -> None:
        self._words = words if text in words else (*words, text)  # the file's value may be no choice
        self._changed = changed
        self._list = self._drop_down(text)
        self._place = urwid.WidgetPlaceholder[urwid.AbstractWidget](self._list)
        self.widget: urwid.AbstractWidget = urwid.AttrMap(self._place, "field", "field focus")

    def _drop_down(self, text: str) -> urwid.DropDown:
        shown = [clean(word) or "(blank)" for word in self._words]
        drop_down = DropDownField(shown, selected=self._words.index(text), attr_map="field", focus_map="field focus")
        urwid.connect_signal(drop_down, "chosen", lambda *_: self._changed())
        return drop_down

    @property
    def text(self) -> str:
        return self._words[self._list.selected]

    @text.setter
    def text(self, text: str) -> None:
        if text not in self._words:
            self._words = (*self._words, text)
            self._list = self._drop_down(text)
            self._place.original_widget = self._list
        self._list.selected = self._words.index(text)


class DropDownField(urwid.DropDown):
    """A DropDown that emits `chosen` after a choice. Left and Right step, Space opens the list, Enter moves on."""

    signals: ClassVar[list[str]] = ["chosen"]
    drop_down_indicator = urwid.Text("▼")

    def keypress(self, size: Any, key: str) -> str | None:
        step = {"left": -1, "right": 1}.get(key, 0)
        if step and self.pop_up_widget is None:
            self.selected = (self.selected + step) % len(self.options)
            self._emit("chosen")
            return None
        if key == "enter" and self.pop_up_widget is None:
            return key  # Enter moves on; Space opens the list
        return super().keypress(size, key)

    def _choose(self, index: int) -> None:
        super()._choose(index)
        self._emit("chosen")


class _Box(Word):
    """A box that Space and a click toggle; Enter moves to the next row."""

    def keypress(self, size: Any, key: str) -> str | None:
        return key if key == "enter" else super().keypress(size, key)


class CheckBoxEditor:
    """A box: [x] is yes, [ ] is no, [?] is another value in the file. Space toggles it; Enter moves on."""

    def __init__(self, text: str, changed: Changed) -> None:
        self._text = text
        self._changed = changed
        self._box = _Box(self._face(), self._turn, 1)
        self.widget: urwid.AbstractWidget = urwid.AttrMap(self._box, "label", "field focus")

    def _face(self) -> str:
        known = {"yes": "[x] yes", "no": "[ ] no"}
        return known.get(self._text) or f"[?] {clean(self._text, 40)}"

    def _turn(self) -> None:
        self.text = "no" if self._text == "yes" else "yes"
        self._changed()

    @property
    def text(self) -> str:
        return self._text

    @text.setter
    def text(self, text: str) -> None:
        self._text = text
        self._box.set_text(self._face())

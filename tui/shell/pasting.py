"""Pasted text: it goes into the text field in focus with one change, and is never a command."""

import urwid

from tui.widgets.editors import TextField

__all__ = ["Pasting"]


class Pasting:
    """Collects the keys between the marks of bracketed paste. Lines become items of a list."""

    def __init__(self) -> None:
        self._text: str | None = None
        self._line_ended = False

    def takes(self, key: str, focus: urwid.AbstractWidget) -> bool:
        """Take a key of pasted text; return False for any other key. At the end the text goes into the focus."""
        if key == "begin paste":
            self._text, self._line_ended = "", False
        elif self._text is None:
            return False
        elif key == "end paste":
            text, self._text = self._text, None
            if text and isinstance(focus, TextField):
                focus.paste(text)
        elif key in {"enter", "ctrl j", "tab"}:
            self._line_ended = True
        elif len(key) == 1:
            self._text += f", {key}" if self._line_ended else key
            self._line_ended = False
        return True

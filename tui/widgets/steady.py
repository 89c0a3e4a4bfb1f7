"""A text that is drawn anew only when it changes: a setting of the same text costs no picture of the screen."""

from typing import Any

import urwid

__all__ = ["SteadyText"]


class SteadyText(urwid.Text):
    """A Text. `set_text` with the markup that it has already does nothing."""

    _markup: Any = None

    def set_text(self, markup: Any) -> None:
        if markup != self._markup:
            self._markup = markup
            super().set_text(markup)

"""The line above the keys: one sentence, which goes away when its reason does."""

from collections.abc import Callable, Hashable

import urwid

from tui.widgets.steady import SteadyText
from tui.widgets.text import clean

__all__ = ["StatusLine"]

_MARKS = {"bad": "✗ ", "good": "✓ ", "warn": "! "}


class StatusLine(urwid.WidgetWrap[urwid.AttrMap[SteadyText]]):
    """`say` shows a sentence. `check` takes it away if its `holds` returns False.

    A sentence without a tone is an answer to a key: it stays until the next one, unless work goes on (“…”).
    """

    def __init__(self) -> None:
        self._text = SteadyText("", wrap="ellipsis")
        self._holds: Callable[[], bool] | None = None
        self._is_answer = False
        super().__init__(urwid.AttrMap(self._text, "help"))

    def say(self, text: str, tone: str = "", holds: Callable[[], bool] | None = None) -> None:
        self._holds = holds
        self._is_answer = bool(text) and not tone and not text.endswith("…")
        self._text.set_text(f" {_MARKS.get(tone, '')}{clean(text, 500)}" if text else "")
        look: dict[Hashable, Hashable] = {None: tone or "help"}
        if look != self._w.attr_map:
            self._w.set_attr_map(look)

    def next_key(self) -> None:
        if self._is_answer:
            self.say("")

    def check(self) -> None:
        if self._holds is not None and not self._holds():
            self.say("")

"""Search as you type in a list: `/` begins, each character narrows, Enter ends, `n` and `N` go on."""

from collections.abc import Callable, Sequence

__all__ = ["RowSearch"]


class RowSearch:
    """The search of one list. `texts` gives its rows as text, `focus` moves to a row."""

    def __init__(self, texts: Callable[[], Sequence[str]], at: Callable[[], int], focus: Callable[[int], None]) -> None:
        self._texts = texts
        self._at = at
        self._focus = focus
        self._start = 0
        self.words = ""
        self.typing = False
        self.missed = False

    @property
    def line(self) -> str:
        """Return the line to show; blank without a search."""
        if not self.typing:
            return ""
        return f"/{self.words}▏ {'not found' if self.missed else 'Enter ends, then n and N go on'}"

    def takes(self, key: str) -> bool:
        """Act on a key; return False if it is none of this search."""
        if self.typing:
            return self._typed(key)
        if key == "/":
            self.typing, self.words, self._start, self.missed = True, "", max(0, self._at()), False
            return True
        if key in {"n", "N"} and self.words:
            self._find(self._at() + (1 if key == "n" else -1), -1 if key == "N" else 1)
            return True
        return False

    def _typed(self, key: str) -> bool:
        if key in {"enter", "esc"}:
            self.typing = False
        elif key == "backspace":
            self.words = self.words[:-1]
            self._find(self._start, 1)
        elif len(key) == 1:
            self.words += key
            self._find(self._start, 1)
        else:
            self.typing = False
            return False
        return True

    def _find(self, start: int, step: int) -> None:
        """Move to the next row with the words, around the end of the list."""
        texts, wanted = self._texts(), self.words.casefold()
        number = len(texts)
        places = ((start + step * offset) % number for offset in range(number))
        found = next((place for place in places if wanted in texts[place].casefold()), None)
        self.missed = found is None
        if found is not None:
            self._focus(found)

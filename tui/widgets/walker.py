"""A list of any length for a ListBox: it makes rows when they come into view, and keeps the focus by key."""

from collections.abc import Callable, Iterable, Sequence

import urwid

from tui.widgets.flow import Flow

__all__ = ["KeyedWalker"]

_KEPT = 400  # rows to keep after they leave the view


class KeyedWalker(urwid.ListWalker[str, Flow]):
    """A walker over unique keys; `show` sets the keys and their order, and `make` makes the row of a key."""

    def __init__(self, make: Callable[[str], Flow]) -> None:
        self._make = make
        self._keys: Sequence[str] = ()
        self._places: dict[str, int] = {}
        self._rows: dict[str, Flow] = {}
        self.focus = ""

    def show(self, keys: Sequence[str], places: dict[str, int]) -> None:
        """Show these keys. If the key in focus is gone, move the focus to the next key that is still in the list."""
        old, at = self._keys, self._places.get(self.focus, 0)
        self._keys, self._places = keys, places
        if self.focus not in places:
            later = (key for key in old[at : at + 5000] if key in places)
            self.focus = next(later, keys[min(at, len(keys) - 1)] if keys else "")
        self._modified()

    def forget(self, keys: Iterable[str] | None = None) -> None:
        """Drop these rows (None: all rows); they are made again when they are needed."""
        if keys is None:
            self._rows.clear()
        else:
            for key in keys:
                self._rows.pop(key, None)
        self._modified()

    @property
    def visible(self) -> list[str]:
        """Return the keys of the rows that exist: those in view, and some that were in view before."""
        return list(self._rows)

    def latest(self, most: int) -> list[str]:
        """Return the keys of the rows that were used last; among them are all rows in view."""
        return list(self._rows)[-most:]

    def place(self, key: str) -> int:
        """Return the position of a key, or -1 if the key is not in the list."""
        return self._places.get(key, -1)

    def __getitem__(self, key: str) -> Flow:
        row = self._rows.get(key)
        if row is None:
            if key not in self._places:
                raise IndexError(key)
            if len(self._rows) > _KEPT:
                for old in list(self._rows)[: _KEPT // 2]:
                    del self._rows[old]
            row = self._make(key)
        self._rows.pop(key, None)
        self._rows[key] = row  # the latest use is the last
        return row

    def __len__(self) -> int:
        return len(self._keys)

    def set_focus(self, key: str) -> None:
        if key not in self._places:
            raise IndexError(key)
        self.focus = key
        self._modified()

    def next_position(self, key: str) -> str:
        return self._beside(key, 1)

    def prev_position(self, key: str) -> str:
        return self._beside(key, -1)

    def _beside(self, key: str, step: int) -> str:
        place = self._places[key] + step
        if not 0 <= place < len(self._keys):
            raise IndexError(key)
        return self._keys[place]

    def positions(self, *, reverse: bool = False) -> Iterable[str]:
        return reversed(self._keys) if reverse else iter(self._keys)

"""The commands Add, Edit, Delete, Up and Down for every list of the program; the caller keeps the list."""

from collections.abc import Callable, MutableSequence
from functools import partial
from typing import Any

from tui.widgets.buttons import Pressed
from tui.widgets.table import Table

__all__ = ["RowCommands"]


class RowCommands:
    """The commands of one list. `items` returns the list; `edit` opens an item (None: a new one) and stores it.

    `allowed` says why nothing can be changed and returns False where that is so.
    """

    def __init__(
        self,
        table: Table,
        items: Callable[[], MutableSequence[Any]],
        edit: Callable[[int | None], object],
        changed: Callable[[], object],
        allowed: Callable[[], bool],
        *,
        ordered: bool = True,
    ) -> None:
        self._table = table
        self._items = items
        self._edit = edit
        self._changed = changed
        self._allowed = allowed
        self._ordered = ordered
        self._before: list[Any] | None = None  # the items before the last edit

    @property
    def buttons(self) -> list[tuple[str, Pressed]]:
        names = ["add", "edit", "delete", *(["up", "down"] if self._ordered else [])]
        return [(name.capitalize(), partial(self.do, name)) for name in names]

    def do(self, command: str) -> bool:
        at, items = self._table.position, self._items()
        if command == "undo":
            return self._undo(items)
        known = {"add", "edit", "delete", *(["up", "down"] if self._ordered else [])}
        if command not in known:
            return False
        if not self._allowed():
            return True
        if command == "add":
            self._edit(None)
        elif 0 <= at < len(items):
            self._act(command, at, items)
        return True

    def remember(self) -> None:
        """Keep the items as they are before an edit, for `undo`."""
        self._before = list(self._items())

    def _undo(self, items: MutableSequence[Any]) -> bool:
        """Take the last edit of the list back; once more repeats it."""
        if self._before is not None:
            before, self._before = self._before, list(items)
            items[:] = before
            self._changed()
        return True

    def _act(self, command: str, at: int, items: MutableSequence[Any]) -> None:
        if command == "edit":
            self._edit(at)
            return
        self.remember()
        if command == "delete":
            del items[at]
        else:
            to = at - 1 if command == "up" else at + 1
            if not 0 <= to < len(items):
                return
            items[at], items[to] = items[to], items[at]
            self._table.focus_on(to)
        self._changed()

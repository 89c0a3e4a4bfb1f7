"""The commands Add, Edit, Delete, Up and Down for every list of the program; the caller keeps the list."""

from collections.abc import Callable, MutableSequence
from functools import partial
from typing import Any

from tui.widgets.buttons import Pressed
from tui.widgets.table import Table

__all__ = ["RowCommands"]


class RowCommands:
    """The commands of one list. `items` returns the list; `edit` opens an item (None: a new one) and stores it."""

    def __init__(
        self,
        table: Table,
        items: Callable[[], MutableSequence[Any]],
        edit: Callable[[int | None], object],
        changed: Callable[[], object],
        *,
        ordered: bool = True,
    ) -> None:
        self._table = table
        self._items = items
        self._edit = edit
        self._changed = changed
        self._ordered = ordered

    @property
    def buttons(self) -> list[tuple[str, Pressed]]:
        names = ["add", "edit", "delete", *(["up", "down"] if self._ordered else [])]
        return [(name.capitalize(), partial(self.do, name)) for name in names]

    def do(self, command: str) -> bool:
        at, items = self._table.position, self._items()
        if command == "add":
            self._edit(None)
        elif command not in {"edit", "delete", "up", "down"} or (command in {"up", "down"} and not self._ordered):
            return False
        elif 0 <= at < len(items):
            self._act(command, at, items)
        return True

    def _act(self, command: str, at: int, items: MutableSequence[Any]) -> None:
        if command == "edit":
            self._edit(at)
            return
        if command == "delete":
            del items[at]
        else:
            to = at - 1 if command == "up" else at + 1
            if not 0 <= to < len(items):
                return
            items[at], items[to] = items[to], items[at]
            self._table.focus_on(to)
        self._changed()

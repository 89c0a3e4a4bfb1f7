"""A person at the screen: opens pages from the menu, goes to what a label names, types, applies.

Nothing here counts keystrokes: a key is pressed until the cursor stands where the words of the schema stand.
"""

import re
import select
from collections.abc import Callable
from pathlib import Path
from typing import Any

from smtpd_classic.config.kinds import BOOLEAN
from smtpd_classic.config.option import Option
from smtpd_classic.config.schema import section_of
from tests.tui.terminal import Terminal
from tests.waiting import until

__all__ = ["TOOK", "Panel", "options"]

TOOK = "Applied. The daemon runs with it."
_OVERTAKEN = "Another program has changed the file; this is how it is now."
_MOST_STEPS = 80
_DRAWN_MS = 50
_PATIENCE_S = 60


def options(word: str, *, named: bool = False) -> dict[str, Option]:
    return {each.name: each for each in section_of(word, named=named).options()}


class Panel:
    def __init__(self, file: Path) -> None:
        self.terminal = Terminal(file)
        self.terminal.shows("› Status", "F10 Quit")

    def close(self) -> None:
        self.terminal.close()

    # --- what is to be seen

    @property
    def text(self) -> str:
        return self.terminal.text

    @property
    def _cursor(self) -> tuple[int, int]:
        """Where it stands on a screen that is drawn whole; (-1, -1) when it is nowhere, as in an empty list."""
        cursor: Any = self.terminal._screen.cursor
        self.terminal._read()
        drawn = select.poll()
        drawn.register(self.terminal.child.child_fd, select.POLLIN)
        # While the screen is drawn, the cursor is hidden; then something more comes soon.
        while cursor.hidden and drawn.poll(_DRAWN_MS):
            self.terminal._read()
        return (-1, -1) if cursor.hidden else (cursor.y, cursor.x)

    def _row(self, down: int = 0) -> str:
        """The row of the cursor, or one below it, within the menu's or the dialog's border."""
        y, x = self._cursor
        if y < 0:
            return ""
        lines = self.text.split("\n")
        line = lines[y + down] if y + down < len(lines) else ""
        left, right = line.rfind("│", 0, x + 1) + 1, line.find("│", x)
        return line[left : right if right >= 0 else None].rstrip("█ ")

    def _stands_at(self, label: str) -> bool:
        """Whether the cursor is in the field of this label, which may take two rows."""
        found = ""
        for down in range(3):
            cell = self._row(down).strip(" *")
            if cell.startswith(label) and not down:
                return True
            found = f"{found} {re.split(' {2,}', cell)[0]}".strip()
            if found == label:
                return True
            if not label.startswith(found):
                return False
        return False

    def _stands_on(self, label: str) -> bool:
        """Whether the cursor is on this button."""
        y, x = self._cursor
        return x > 0 and self.text.split("\n")[y][x - 1 :].startswith(f"[{label}]")

    # --- keys

    def press(self, *keys: str) -> "Panel":
        self.terminal.press(*keys)
        return self

    def step(self, key: str) -> "Panel":
        """Press a key, and wait until the cursor has moved, or the list below it, and the screen is drawn."""
        before = self._cursor, self._row(), self._entry()
        self.press(key)
        until(
            lambda: (self._cursor, self._row(), self._entry()) != before,
            _PATIENCE_S,
            lambda: f"the cursor has not moved by {key}:\n{self.text}",
        )
        return self

    def _walk(self, key: str, there: Callable[[], bool], what: str) -> None:
        for _ in range(_MOST_STEPS):
            if there():
                return
            self.step(key)
        raise AssertionError(f"Tab does not lead to {what}:\n{self.text}")

    # --- pages, fields, buttons, lists

    def open(self, page: str) -> "Panel":
        """From the menu, whatever is in view."""
        self._to_the_top()
        self._walk("down", lambda: self._entry() == page, page)
        self.shows(f"› {page}").press("enter")
        until(lambda: not self._entry(), _PATIENCE_S, lambda: f"not in {page}:\n{self.text}")
        return self

    def _to_the_top(self) -> None:
        self.press("f9", "home")
        until(lambda: self._entry() == "Status", _PATIENCE_S, lambda: f"not at the top of the menu:\n{self.text}")

    def _entry(self) -> str:
        """The line of the menu on which the cursor stands."""
        y, x = self._cursor
        return self.text.split("\n")[y][:21].strip("› *!") if 0 <= x < 21 else ""

    def shows(self, *words: str) -> "Panel":
        self.terminal.shows(*words, timeout_s=_PATIENCE_S)
        return self

    def hides(self, *words: str) -> "Panel":
        self.terminal.hides(*words, timeout_s=_PATIENCE_S)
        return self

    def focus(self, label: str) -> "Panel":
        self._walk("tab", lambda: self._stands_at(label), f"the field “{label}”")
        return self

    def button(self, label: str) -> "Panel":
        """Go to a button and press it."""
        self._walk("tab", lambda: self._stands_on(label), f"the button “{label}”")
        return self.press("enter")

    def row(self, name: str) -> "Panel":
        """Go to the row of a list that begins with this."""
        self._walk("tab", self._in_list, "the list")
        while (there := self._line_of(name)) != (here := self._cursor[0]):
            self.step("down" if there > here else "up")
        return self

    def _line_of(self, name: str) -> int:
        """The line of the screen on which a row of the list in focus begins with this."""
        _, x = self._cursor
        cells = [line[x:].lstrip(" *") + " " for line in self.text.split("\n")]
        found = [y for y, cell in enumerate(cells) if cell.startswith(f"{name} ") or _is_cut(cell, name)]
        assert len(found) == 1, f"{found} lines with {name}:\n{self.text}"
        return found[0]

    def _in_list(self) -> bool:
        """In lists the cursor stands at the left border."""
        y, x = self._cursor
        return x > 0 and self.text.split("\n")[y][:x].endswith(("│", "│ "))

    def fill(self, option: Option, value: str, label: str = "") -> "Panel":
        """Put a value into the field of an option."""
        self.focus(label or option.label)
        kind = option.kind
        if kind.choices == BOOLEAN.choices:
            self._tick(value)
        elif kind.choices:
            self._choose(option, value)
        else:
            self.type(value, masked=kind.mask is not None)
        return self

    def _tick(self, value: str) -> None:
        if f"[{'x' if value == 'yes' else ' '}] {value}" not in self._row():
            self.press(" ")
        until(lambda: f"] {value}" in self._row(), _PATIENCE_S, lambda: f"not {value}:\n{self.text}")

    def _choose(self, option: Option, value: str) -> None:
        """From the list that drops down with the present choice in focus."""
        self.step(" ")
        order = option.kind.choices
        while (now := self._word()) != value:
            assert now in order, self.text
            self.step("down" if order.index(now) < order.index(value) else "up")
        self.press("enter")
        until(lambda: self._word() == value, _PATIENCE_S, lambda: f"not {value}:\n{self.text}")
        until(lambda: self._stands_at(option.label), _PATIENCE_S, lambda: f"the list is still open:\n{self.text}")

    def _word(self) -> str:
        """The word on which the cursor stands."""
        y, x = self._cursor
        return self.text.split("\n")[y][x:].split("│")[0].strip(" █▼")

    def type(self, value: str, *, masked: bool = False) -> "Panel":
        """Replace the text of the field in focus."""
        self.press("end", "ctrl u", value)
        shown = "*" * len(value) if masked else value[-5:]
        until(
            # A long value wraps, anywhere: its end stands behind the end of the row above the cursor.
            lambda: shown in self._row() + self._row(1) or shown in self._row(-1) + self._row().strip(),
            _PATIENCE_S,
            lambda: f"{shown} is not in the field:\n{self.text}",
        )
        return self

    # --- the file

    def apply(self, *differences: str, answer: str = TOOK) -> "Panel":
        """Apply, with a look at the difference first."""
        self.press("f2")
        return self.confirm(*differences, answer=answer)

    def confirm(self, *differences: str, answer: str = TOOK) -> "Panel":
        self.shows("Apply these changes?")
        if differences:
            self.press("f8").shows("The changes of the file", *differences)
            self.press("esc").hides("The changes of the file")
        until(lambda: self._stands_on("Apply"), _PATIENCE_S, lambda: f"[Apply] has not the focus:\n{self.text}")
        return self.press("enter").shows(answer)

    def set(self, page: str, option: Option, value: str) -> "Panel":
        """One option of a page, through to what the program says of the daemon."""
        self.open(page).fill(option, value)
        shown = option.kind.mask(value) if option.kind.mask is not None else value
        return self.apply(f"+{option.name} = {shown}")

    def notice(self, write: Callable[[], None]) -> None:
        """Let somebody else write the file, and wait until that is seen."""
        self._to_the_top()
        self.hides(_OVERTAKEN)
        write()
        # Another page takes the sentence away, so that the next one is known to be new.
        self.shows(_OVERTAKEN).press("down").hides(_OVERTAKEN)


def _is_cut(cell: str, name: str) -> bool:
    """Whether the cell is the name, cut where the column ends."""
    shown, cut, _ = cell.partition("…")
    return bool(cut) and len(shown) > 8 and name.startswith(shown)

"""The header of a message as filters see and change it.

The fields above our trace field come first; our own fields are not among them. Positions for new fields count our trace
field, as Sendmail and Postfix do: 0 is above it, 1 directly below. Occurrences of a name count the fields shown.
"""

import re
from collections.abc import Iterator

from smtpd_classic.milter.replies import ChangeField, InsertField

__all__ = ["FilteredHeader"]

_LINE = re.compile(rb"[^\n]*\n?(?:[ \t][^\n]*\n?)*")
_NAMED = re.compile(rb"([!-9;-~]+)[ \t]*:(.*)", re.DOTALL)
_LONGEST_LINE = 998


class FilteredHeader:
    """The fields, each with its line end. `above` are those over our trace field, the topmost first."""

    __slots__ = ("_below", "above")

    def __init__(self, raw: bytes, above: list[bytes]) -> None:
        self.above = list(above)
        self._below = [each for each in _LINE.findall(raw) if each]

    @property
    def raw(self) -> bytes:
        """Return the fields below our trace field."""
        return b"".join(self._below)

    def fields(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield name and value of each field. Values keep their folding, without the last line end."""
        for line in (*self.above, *self._below):
            found = _NAMED.fullmatch(line)
            if found is not None:
                yield found[1], found[2].removesuffix(b"\n")

    def insert(self, change: InsertField, *, leading_space: bool) -> None:
        field = _written(change.name, change.value, leading_space=leading_space)
        if change.position < 0:
            self._end_last_line()
            self._below.append(field)
        elif change.position <= len(self.above) and (change.position == 0 or self.above):
            self.above.insert(change.position, field)
        else:
            at = change.position - len(self.above) - 1
            if at >= len(self._below):
                self._end_last_line()
            self._below.insert(at, field)

    def change(self, change: ChangeField, *, leading_space: bool) -> None:
        """Replace or delete a field; add a field that is not there."""
        wanted, left = change.name.lower(), change.occurrence
        for lines in (self.above, self._below):
            for number, line in enumerate(lines):
                found = _NAMED.fullmatch(line)
                if found is None or found[1].lower() != wanted:
                    continue
                left -= 1
                if left == 0:
                    new = _written(found[1], change.value, leading_space=leading_space) if change.value else b""
                    lines[number : number + 1] = [new] if new else []
                    return
        if change.value:
            self.insert(InsertField(-1, change.name, change.value), leading_space=leading_space)

    def _end_last_line(self) -> None:
        if self._below and not self._below[-1].endswith(b"\n"):
            self._below[-1] += b"\n"


def _written(name: bytes, value: bytes, *, leading_space: bool) -> bytes:
    """Return a field that is one field: line ends inside begin a folded line, and NUL and lone CR are left out."""
    lines = value.replace(b"\r\n", b"\n").replace(b"\r", b"").replace(b"\0", b"").split(b"\n")
    kept = [line for number, line in enumerate(lines) if number == 0 or line.strip()]
    folded = [kept[0], *(line if line[:1] in {b" ", b"\t"} else b"\t" + line for line in kept[1:])]
    text = b"\n".join(line[:_LONGEST_LINE] for line in folded)
    return name + (b":" if leading_space else b": ") + text + b"\n"

"""The header block of a message, read and edited as bytes.

Rule 1: every octet that is not edited stays as it came. Python's `email` changes most real messages when it writes
them again, and takes seconds for hostile ones; nothing here uses it.
Rule 2: every step is linear in the length of the block, and the caller bounds the block.
Rule 3: a block has LF line ends, and ends before the empty line that parts it from the body.
"""

import re
from functools import lru_cache
from typing import NamedTuple

__all__ = ["HeaderBlock", "HeaderField", "end_of_header_block", "whole_field"]

# RFC 5322 3.6.8, with the white space before the colon that 4.5 (obsolete syntax) allows; the value runs over folded
# lines.
_FIELD = re.compile(rb"([!-9;-~]+)[ \t]*:([^\n]*(?:\n[ \t][^\n]*)*)\n?")
_END = re.compile(rb"\n(?![ \t])")
_NAME = re.compile(rb"\n([!-9;-~]++)[ \t]*+:")
_MBOX_LINE = re.compile(rb">?From [^\n]*\n?")


class HeaderField(NamedTuple):
    """One field: `block[start:end]` is all of it, `block[value:end]` its value behind the colon, LF included."""

    name: bytes
    start: int
    value: int
    end: int


def end_of_header_block(content: bytes | bytearray, searched: int = 0) -> int:
    """Return where the empty line begins, or -1. `searched` octets have been searched before."""
    if content[:1] == b"\n":
        return 0
    found = content.find(b"\n\n", max(0, searched - 1))
    return found + 1 if found >= 0 else -1


@lru_cache(1024)
def _spaced_name(name: bytes) -> re.Pattern[bytes]:
    return re.compile(rb"\n" + re.escape(name) + rb"[ \t]+:")


def whole_field(names: bytes) -> re.Pattern[bytes]:
    """Return the pattern of a whole field with its value as the first group. `names` is a pattern of the name."""
    return re.compile(rb"^(?:%b)[ \t]*:([^\n]*+(?:\n[ \t][^\n]*+)*+)\n?" % names, re.IGNORECASE | re.MULTILINE)


class HeaderBlock:
    """The fields of a block, found when they are asked for by name.

    A line that is no field ends the header for a strict reader, while a lenient one reads on behind it. `strict_end` is
    where the strict reader stops; all questions by name look at the whole block, as the lenient reader does.
    """

    __slots__ = ("_lowered", "_some_spaced", "names", "raw", "whole")

    def __init__(self, raw: bytes, *, whole: bool = True) -> None:
        """`whole` is False when the lenient reader would go on behind `raw`. `names` are those of all fields in lower
        case."""
        self.raw = raw
        self.whole = whole
        self._lowered = b"\n" + raw.lower()
        self.names: frozenset[bytes] = frozenset(_NAME.findall(self._lowered))
        self._some_spaced = raw.find(b" :") >= 0 or raw.find(b"\t:") >= 0  # hardly ever: saves a search for each name

    def count(self, name: bytes) -> int:
        """Return how often the field occurs; `name` is lower case."""
        return self._lowered.count(b"\n" + name + b":") + len(self._spaced(name))

    def has(self, name: bytes) -> bool:
        """Return True if the field occurs; `name` is lower case."""
        return name in self.names

    def _spaced(self, name: bytes) -> list[int]:
        """Return the places of `name` with white space before its colon."""
        if not self._some_spaced:
            return []
        return [match.start() for match in _spaced_name(name).finditer(self._lowered)]

    def fields(self, name: bytes) -> list[HeaderField]:
        """Return the fields of that name, in order."""
        starts = self._spaced(name)
        at = self._lowered.find(b"\n" + name + b":")
        while at >= 0:
            starts.append(at)
            at = self._lowered.find(b"\n" + name + b":", at + 1)
        if self._some_spaced:
            starts.sort()
        return [self._field_at(name, start) for start in starts]

    def _field_at(self, name: bytes, start: int) -> HeaderField:
        """Return the field whose name begins at `start`."""
        # `_lowered` has one LF in front, so that its offset of that LF is the offset of the name in `raw`.
        raw = self.raw
        value = raw.index(b":", start) + 1
        end = raw.find(b"\n", value)
        if end >= 0 and raw[end + 1 : end + 2] in (b" ", b"\t"):  # the field is folded
            match = _END.search(raw, end)
            end = match.start() if match else -1
        return HeaderField(name, start, value, end + 1 or len(raw))

    def values(self, name: bytes) -> list[bytes]:
        """Return the values, unfolded (RFC 5322 2.2.3), without white space around them."""
        return [self.raw[field.value : field.end].replace(b"\n", b"").strip() for field in self.fields(name)]

    def first(self, name: bytes) -> bytes:
        """Return the first value, or b"" when there is none."""
        at = self._lowered.find(b"\n" + name + b":")
        if at < 0:
            return (self.values(name) or [b""])[0]
        field = self._field_at(name, at)
        return self.raw[field.value : field.end].replace(b"\n", b"").strip()

    @property
    def strict_end(self) -> int:
        """Return where the first line begins that is neither a field nor of an mbox file, else the block's length."""
        raw = self.raw
        mbox = _MBOX_LINE.match(raw)
        at = mbox.end() if mbox else 0
        while at < len(raw):
            match = _FIELD.match(raw, at)
            if match is None:
                break
            at = match.end()
        return at

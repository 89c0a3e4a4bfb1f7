"""The files that stand uuencoded within a text, found while the text arrives (POSIX uuencode, both of its forms).

Rule 1: a line that begins as such a file does counts only if encoded data or the end follows, so that a text about
uuencode has no files. Rule 2: the octets held are bounded, and so is the number of files.
"""

import binascii
import re
import string

from smtpd_classic.filters.archives import FileNames, is_zip_name
from smtpd_classic.filters.matching import shown_text

__all__ = ["UuencodedFiles"]

_LONGEST_HELD = 2048
_MOST_FILES = 1000
_BEGIN = b"\nbegin"
# The expression begins with fixed octets, and gives nothing back: the time is that of one pass over the text.
_FILE = re.compile(
    rb"\nbegin(-base64)?[ \t]++[0-7]{3,4}[ \t]++([^\s][^\n]*+)\n(?:[ \t\r]*+\n){0,8}+"
    rb"(?=(?(1)(?:[A-Za-z0-9+/=]{4})++|(?:[!-`][ -`]*+|end))[ \t\r]*+\n)"
)
_NO_DATA = re.compile(rb"====|begin(-base64)?[ \t]")  # the end, and the beginning of the next file
_NOT_BASE64 = bytes(set(range(256)) - set((string.ascii_letters + string.digits + "+/=").encode()))


class UuencodedFiles:
    """Reads one text: `take()` each piece, then `finish()`."""

    __slots__ = ("_file", "_held", "_is_base64", "_names")

    def __init__(self) -> None:
        self._names: list[str] = []
        self._held = b"\n"  # from the last line end on, or from the last line that may begin a file
        self._file: FileNames | None = None  # the file whose lines come now
        self._is_base64 = False

    def take(self, piece: bytes) -> None:
        text, at = self._held + piece, 0
        if self._file is None and _BEGIN not in text:
            self._held = text[text.rfind(b"\n") :][:_LONGEST_HELD]
            return
        while len(self._names) < _MOST_FILES:
            if self._file is not None:
                at = self._take_lines(text, at)
            found = _FILE.search(text, at) if self._file is None else None
            if found is None:
                break
            at = found.end() - 1
            self._begin(found)
        self._held = self._rest(text, at)

    def finish(self) -> list[str]:
        """Return the names of all files, and of those in the directories of zip files and in winmail.dat."""
        self.take(b"\n")
        self._end_file()
        return self._names

    def _begin(self, found: "re.Match[bytes]") -> None:
        name = shown_text(found[2].strip())
        self._names.append(name)
        self._is_base64 = found[1] is not None
        self._file = FileNames(is_zip=is_zip_name(name))

    def _take_lines(self, text: bytes, at: int) -> int:
        """Give the lines of a file to its reader. Return the place of the line end before the first that is not
        taken."""
        while self._file is not None and (end := text.find(b"\n", at + 1)) >= 0:
            octets = self._decoded(text[at + 1 : end])
            if octets is None:
                self._end_file()
                break
            self._file.take(octets)
            at = end
            if self._file.is_plain:
                self._file = None
        return at

    def _decoded(self, line: bytes) -> bytes | None:
        """Return the octets of a line; None at the end of the file."""
        line = line.rstrip()
        try:
            if self._is_base64:
                return None if _NO_DATA.match(line) else binascii.a2b_base64(line.translate(None, _NOT_BASE64))
            length = (line[0] - 32) & 63 if line else 0
            # Some programs add a checksum to a line, which is no part of the data.
            return binascii.a2b_uu(line[: 1 + (length * 4 + 2) // 3]) if length else None
        except binascii.Error:
            return None

    def _end_file(self) -> None:
        if self._file is not None:
            self._names += self._file.names()
        self._file = None

    def _rest(self, text: bytes, at: int) -> bytes:
        """Return the end of the text that may belong to the next piece."""
        last = max(text.rfind(b"\n", at), 0)
        begin = text.rfind(_BEGIN, at)
        if self._file is None and begin >= 0:
            following = text[begin + 1 :].partition(b"\n")[2].lstrip()
            if b"\n" not in following and len(text) - begin <= _LONGEST_HELD:
                last = begin
        return text[last:][:_LONGEST_HELD]

"""The names of attached files, found while the body of a message arrives (RFC 2045, 2046, 2183, 2231).

Nothing is held but the header of one part and the beginning of a line. `archives` looks into zip files and winmail.dat,
and `uuencoded` into texts.
A boundary counts wherever it stands, as lenient readers have it, so that a broken structure hides no name.
"""

import binascii
import re
import string
from collections.abc import Iterable
from contextlib import suppress
from urllib.parse import unquote_to_bytes

from smtpd_classic.filters.archives import FileNames, is_zip_name
from smtpd_classic.filters.matching import shown_text
from smtpd_classic.filters.uuencoded import UuencodedFiles
from smtpd_classic.message.encoded_words import text_in

__all__ = ["AttachmentNames", "first_with_ending", "has_ending", "saved_names"]

_LONGEST_HEADER = 64 * 1024
_LONGEST_LINE = 64 * 1024
_MOST_BOUNDARIES = 100
_LONGEST_MARK = 32  # of a boundary: a long expression takes long to compile
_LONGEST_NAME = 1024
_MOST_NAMES = 2000
_MOST_PARTS = 20_000
_NOT_BASE64 = bytes(set(range(256)) - set((string.ascii_letters + string.digits + "+/=").encode()))
_MOST_COMMENTS = 10
_NO_MARK = re.compile(rb"(?!)")
_FOLD = re.compile(rb"\n(?=[ \t])")
_CONTENT = re.compile(rb"^content-(?:type|disposition)[ \t]*:(.*)$", re.IGNORECASE | re.MULTILINE)
_ENCODING = re.compile(rb"^content-transfer-encoding[ \t]*:[ \t]*([\w-]+)", re.IGNORECASE | re.MULTILINE)
_KIND = re.compile(rb"^content-type[ \t]*:[ \t]*([\w-]+)", re.IGNORECASE | re.MULTILINE)
_MESSAGE = re.compile(rb"^content-type[ \t]*:[ \t]*message/(?:rfc822|global)\b", re.IGNORECASE | re.MULTILINE)
_PARAMETER = re.compile(
    rb";[ \t]*(boundary|(?:file)?name)(?:\*(\d{1,3}))?(\*)?[ \t]*=[ \t]*(\"(?:[^\"\\]|\\.)*\"?|[^;]*)",
    re.IGNORECASE | re.DOTALL,
)


class AttachmentNames:
    """Reads one message: its header block, then `take()` each piece of the body with LF line ends, then `finish()`."""

    def __init__(self, header: bytes) -> None:
        self.names: list[str] = []
        self._boundaries: set[bytes] = set()
        self._mark = _NO_MARK
        self._parts = 0
        self._buffer = bytearray()
        self._in_header = False
        self._encoding = b""
        self._is_text = True
        self._text = UuencodedFiles()
        self._carry = b""
        self._file = FileNames()
        self._part_begins(header)

    def take(self, piece: bytes) -> None:
        """Take the next piece of the body."""
        self._buffer += piece
        while self._buffer and self._step():
            pass

    def finish(self) -> list[str]:
        """Return all names that were found."""
        if self._in_header:
            self._part_begins(bytes(self._buffer))
        else:
            self._content(bytes(self._buffer))
        self._buffer.clear()
        self._part_ends()
        return self.names

    def _step(self) -> bool:
        """Take one header or run of content from the buffer. Return False if more octets are needed."""
        return self._header_step() if self._in_header else self._content_step()

    def _header_step(self) -> bool:
        buffer = self._buffer
        end = 0 if buffer.startswith(b"\n") else buffer.find(b"\n\n") + 1
        if end == 0 and not buffer.startswith(b"\n"):
            if len(buffer) < _LONGEST_HEADER:
                return False
            end = len(buffer)
        header = bytes(buffer[:end])
        del buffer[: end + 1]
        self._part_begins(header)
        return True

    def _content_step(self) -> bool:
        """Take the content up to the next line that begins as a boundary does, and that line."""
        buffer = self._buffer
        mark = self._mark.search(buffer) if self._boundaries and self._parts < _MOST_PARTS else None
        if mark is None:
            # A boundary begins behind the last line end: what follows it is kept until the line is known.
            end = buffer.rfind(b"\n") + 1
            if len(buffer) - end > _LONGEST_LINE:
                end = len(buffer)
            self._content(bytes(buffer[:end]))
            del buffer[:end]
            return False
        at = mark.start()
        self._parts += 1
        line_end = buffer.find(b"\n", at)
        if line_end < 0 and len(buffer) - at < _LONGEST_LINE:
            return False
        line_end = len(buffer) - 1 if line_end < 0 else line_end
        line = bytes(buffer[at : line_end + 1])
        self._content(bytes(buffer[:at]))
        del buffer[: line_end + 1]
        if line[2:].rstrip() in self._boundaries:
            self._part_ends()
            self._in_header = True
        elif line.rstrip().endswith(b"--") and line[2:].rstrip()[:-2] in self._boundaries:
            self._part_ends()
        else:
            self._content(line)
        return True

    def _part_begins(self, header: bytes) -> None:
        header = _FOLD.sub(b"", header)
        found = _ENCODING.search(header)
        self._encoding = found[1].lower() if found else b""
        kind = _KIND.search(header)
        self._is_text = kind is None or kind[1].lower() == b"text"
        self._in_header = _MESSAGE.search(header) is not None
        known, named = len(self._boundaries), len(self.names)
        for each in _CONTENT.finditer(header):
            self._parameters(each[1])
        self._file = FileNames(is_zip=any(map(is_zip_name, self.names[named:])))
        if len(self._boundaries) > known:
            marks = sorted({re.escape(each[:_LONGEST_MARK]) for each in self._boundaries})
            self._mark = re.compile(rb"^--(?:" + b"|".join(marks) + rb")", re.MULTILINE)

    def _parameters(self, value: bytes) -> None:
        """Take the names and boundaries of a field. A parameter that stands twice has two values: readers differ in the
        one that they take.
        """
        pieces: dict[bytes, list[tuple[int, bool, bytes]]] = {}
        for each in _PARAMETER.finditer(b";" + value):
            part = (int(each[2] or 0), bool(each[3]), _unquoted(each[4]))
            if each[2] is None:
                self._parameter(each[1].lower(), [part])
            else:
                pieces.setdefault(each[1].lower(), []).append(part)
        for key, parts in pieces.items():
            self._parameter(key, sorted(parts, key=lambda part: part[0]))

    def _parameter(self, key: bytes, parts: list[tuple[int, bool, bytes]]) -> None:
        if key != b"boundary":
            self._add(_joined(parts))
            return
        text = b"".join(each[2] for each in parts).rstrip()
        if text and len(self._boundaries) < _MOST_BOUNDARIES:
            self._boundaries.add(text)

    def _add(self, name: str) -> None:
        if len(name) > _LONGEST_NAME:
            name = name.rstrip(" .\0\t\r\n")[-_LONGEST_NAME:]
        if name.strip() and len(self.names) < _MOST_NAMES:
            self.names.append(name)

    def _content(self, data: bytes) -> None:
        if self._encoding not in {b"base64", b"quoted-printable"}:
            self._text.take(data)
            return
        if self._file.is_plain and not self._is_text:
            return
        octets = self._decoded(data)
        if self._is_text:
            self._text.take(octets)
        self._file.take(octets)

    def _decoded(self, data: bytes) -> bytes:
        if self._encoding == b"quoted-printable":  # the pieces end with a line
            return binascii.a2b_qp(data)
        text = self._carry + data.translate(None, _NOT_BASE64)
        whole = len(text) // 4 * 4
        self._carry = text[whole:]
        with suppress(binascii.Error):
            return binascii.a2b_base64(text[:whole])
        return b""

    def _part_ends(self) -> None:
        for name in (*self._file.names(), *self._text.finish()):
            self._add(name)
        self._text, self._file = UuencodedFiles(), FileNames()
        self._carry, self._encoding, self._is_text = b"", b"", True


def _unquoted(text: bytes) -> bytes:
    if text.startswith(b'"'):
        return re.sub(rb"\\(.)", rb"\1", text[1:].removesuffix(b'"'), flags=re.DOTALL)
    return text.strip()


def _joined(pieces: list[tuple[int, bool, bytes]]) -> str:
    """Return the value of a parameter in one or more pieces; those that are encoded name the character set first."""
    if not any(is_encoded for _, is_encoded, _ in pieces):
        return shown_text(b"".join(text for _, _, text in pieces))
    charset, octets = "utf-8", b""
    for number, is_encoded, text in pieces:
        rest = text
        if is_encoded and number == 0 and text.count(b"'") >= 2:
            name, _, rest = text.split(b"'", 2)
            charset = name.decode("ascii", "replace") or charset
        octets += unquote_to_bytes(rest) if is_encoded else rest
    try:
        return text_in(octets, charset)
    except (ValueError, LookupError):
        return octets.decode("utf-8", "replace")


def saved_names(name: str) -> tuple[str, ...]:
    """Return a name, and others under which a program may save the file: some cut a name at a NUL, drop the quotes,
    dots and blanks at its end, or leave out a comment behind it (RFC 2045 5.1).
    """
    names = [name, *name.split("\0")]
    if name.rstrip().endswith(")"):
        names += [
            name[: found.start()] for found, _ in zip(re.finditer(r"\(", name), range(_MOST_COMMENTS), strict=False)
        ]
    return tuple(dict.fromkeys((name, *(each.rstrip(" \t.'\"") for each in names))))


def has_ending(name: str, endings: tuple[str, ...]) -> bool:
    """Return True if a program may save the file with one of these endings, which are in lower case."""
    return any(each.endswith(endings) for each in saved_names(name.casefold()))


def first_with_ending(names: Iterable[str], endings: tuple[str, ...]) -> str:
    """Return the first name with one of these endings; blank if there is none."""
    return next((each for each in names if has_ending(each, endings)), "")

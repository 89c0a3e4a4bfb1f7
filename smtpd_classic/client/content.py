"""The content of a message in the form for one kind of destination.

It is edited while it is read; a large one is never held in memory as a whole.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from smtpd_classic.client.pieces import ContentSource, Opener, pieces
from smtpd_classic.message.headers import HeaderBlock, end_of_header_block

__all__ = [
    "LONGEST_LINE",
    "ContentFacts",
    "ContentSource",
    "MessageContent",
    "Opener",
    "folded",
    "has_long_line",
    "packets",
]

LONGEST_LINE = 998
"""Octets of a line, its end not counted (RFC 5321 4.5.3.1.6)."""

_CHUNK = 64 * 1024
_PACKET = 32 * 1024
_LONGEST_HEADER = 512 * 1024


class ContentFacts(NamedTuple):
    """Properties of a content that decide how it is sent.

    `size` is in octets on the wire (CRLF line ends, without stuffed dots). A long line has more than 998 octets
    (RFC 5321 4.5.3.1.6).
    """

    size: int
    header_8bit: bool
    body_8bit: bool
    header_long: bool = False
    body_long: bool = False

    @property
    def eight_bit(self) -> bool:
        return self.header_8bit or self.body_8bit

    @property
    def long_lines(self) -> bool:
        return self.header_long or self.body_long


class MessageContent:
    """The content for one kind of destination. Thread-safe.

    `open_source` opens the stored content (LF line ends) from its beginning. `edit` takes the header block and returns
    the one to send; `on_top` is put before it.
    """

    def __init__(
        self, open_source: Opener, edit: Callable[[bytes], bytes] = lambda header: header, on_top: bytes = b""
    ) -> None:
        self.open = open_source
        self._edit = edit
        self._on_top = on_top
        self._whole: bytes | None = None  # of a small content: it is read once, for its properties and for sending
        self._is_large = False
        self._facts: ContentFacts | None = None

    @classmethod
    def of(cls, whole: bytes) -> "MessageContent":
        """Return a content that is in memory already."""
        content = cls(lambda: _Memory(whole))
        content._whole = whole
        return content

    def topped(self, fields: bytes) -> "MessageContent":
        """Return the same content with further fields on top of it."""
        content = MessageContent(self.open, self._edit, fields + self._on_top)
        facts = self.facts()
        content._whole = None if self._whole is None else fields + self._whole
        content._is_large = self._is_large
        content._facts = facts._replace(size=facts.size + len(fields) + fields.count(b"\n"))
        return content

    def chunks(self) -> Iterator[bytes]:
        """Return the content in pieces, with LF line ends; the header block is whole within the first."""
        if self._whole is None and not self._is_large:
            with self.open() as source:
                first = self._first(source)
                self._is_large = source.read(1) != b""
            if not self._is_large:
                self._whole = first
        return pieces(self.open, self._first, _CHUNK) if self._whole is None else iter((self._whole,))

    def header(self) -> bytes:
        """Return the edited header block."""
        for first in self.chunks():
            end = end_of_header_block(first)
            return first if end < 0 else first[:end]
        return b""

    def whole(self) -> bytes:
        return b"".join(self.chunks())

    def facts(self) -> ContentFacts:
        if self._facts is None:
            self._facts = self._look()
        return self._facts

    def _first(self, source: ContentSource) -> bytes:
        data = bytearray(source.read(_CHUNK))
        end = end_of_header_block(data)
        while end < 0 and len(data) < _LONGEST_HEADER and (more := source.read(_CHUNK)):
            searched = len(data)
            data += more
            end = end_of_header_block(data, searched)
        if end < 0:  # no empty line: the text behind the last field is not edited
            end = HeaderBlock(bytes(data)).strict_end
        return self._on_top + self._edit(bytes(data[:end])) + bytes(data[end:])

    def _look(self) -> ContentFacts:
        size, header_8bit, body_8bit, last = 0, False, False, b"\n"
        header_lines, body_lines = _LongLines(), _LongLines()
        for number, chunk in enumerate(self.chunks()):
            size += len(chunk) + chunk.count(b"\n")
            last = chunk[-1:] or last
            end = end_of_header_block(chunk) if number == 0 else 0
            end = len(chunk) if end < 0 else end
            if number == 0:
                header_lines.look(chunk[:end])
            body_lines.look(chunk[end:] if end else chunk)
            if chunk.isascii():
                continue
            header_8bit = header_8bit or not chunk[:end].isascii()
            body_8bit = body_8bit or not chunk[end:].isascii()
        size = size if last == b"\n" else size + 2
        return ContentFacts(size, header_8bit, body_8bit, header_lines.found, body_lines.found)


def has_long_line(piece: bytes, at: int = 0) -> bool:
    """Return True if a line behind `at` has more than 998 octets."""
    while len(piece) - at > LONGEST_LINE:
        end = piece.rfind(b"\n", at, at + LONGEST_LINE + 1)
        if end < 0:
            return True
        at = end + 1
    return False


class _LongLines:
    """A search for a line over 998 octets in a content that is read in pieces."""

    def __init__(self) -> None:
        self.found = False
        self._held = 0  # octets of the line at the end of the last piece

    def look(self, piece: bytes) -> None:
        if self.found:
            return
        first = piece.find(b"\n")
        self.found = self._held + (len(piece) if first < 0 else first) > LONGEST_LINE
        if first < 0:
            self._held += len(piece)
            return
        self.found = self.found or has_long_line(piece, first + 1)
        self._held = len(piece) - piece.rfind(b"\n") - 1


def folded(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield a content with its long lines broken by a line end and a space, as Postfix sends them.

    A character of UTF-8 is never cut.
    """
    held = 0  # octets of the current line that have been yielded
    begun = b""  # the beginning of a character that ends in the next chunk
    for chunk in chunks:
        text = begun + chunk
        whole = _whole_characters(text)
        text, begun = text[:whole], text[whole:]
        made, held = _folded(text, held)
        yield made
    yield _folded(begun, held)[0]


def _folded(chunk: bytes, held: int) -> tuple[bytes, int]:
    pieces: list[bytes] = []
    at = 0
    while at < len(chunk):
        end = chunk.find(b"\n", at) + 1 or len(chunk)
        text = chunk[at:end]
        while held + len(text) - text.endswith(b"\n") > LONGEST_LINE:
            cut = _cut(text, max(0, LONGEST_LINE - held))
            pieces += [text[:cut], b"\n "]
            text, held = text[cut:], 1
        pieces.append(text)
        held = 0 if text.endswith(b"\n") else held + len(text)
        at = end
    return b"".join(pieces), held


def _whole_characters(text: bytes) -> int:
    """Return the length of the text without a character of UTF-8 that is cut at its end."""
    for back in range(1, min(4, len(text) + 1)):
        octet = text[-back]
        if octet >= 0xC0:
            return len(text) - back if back < (2 if octet < 0xE0 else 3 if octet < 0xF0 else 4) else len(text)
        if octet < 0x80:
            break
    return len(text)


def _cut(text: bytes, most: int) -> int:
    """Return where to break within the first `most` octets: before a character, not in it."""
    for at in range(most, max(most - 4, -1), -1):
        if text[at] & 0xC0 != 0x80:
            return at
    return most


def packets(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the pieces joined to packets: a small message is sent in one packet, with its final dot."""
    held: list[bytes] = []
    length = 0
    for piece in pieces:
        held.append(piece)
        length += len(piece)
        if length >= _PACKET:
            yield b"".join(held)
            held, length = [], 0
    if held:
        yield b"".join(held)


class _Memory:
    def __init__(self, whole: bytes) -> None:
        self._whole = whole

    def __enter__(self) -> "_Memory":
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def read(self, size: int = -1, /) -> bytes:
        piece, self._whole = (self._whole, b"") if size < 0 else (self._whole[:size], self._whole[size:])
        return piece

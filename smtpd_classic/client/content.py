"""The content of a message as it leaves for one kind of destination: edited on the way, never held whole when it is
large.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import NamedTuple, Protocol

from smtpd_classic.message.headers import HeaderBlock, end_of_header_block

__all__ = ["ContentFacts", "ContentSource", "MessageContent", "Opener"]

_CHUNK = 64 * 1024
_LONGEST_HEADER = 512 * 1024


class ContentSource(Protocol):
    def read(self, size: int = -1, /) -> bytes: ...


Opener = Callable[[], AbstractContextManager[ContentSource]]


class ContentFacts(NamedTuple):
    """`size` in octets on the wire (CRLF line ends, without stuffed dots), and where there is 8-bit text."""

    size: int
    header_8bit: bool
    body_8bit: bool

    @property
    def eight_bit(self) -> bool:
        return self.header_8bit or self.body_8bit


class MessageContent:
    """`open_source` opens the stored content (LF line ends) from its beginning; `edit` gets the header block and
    gives what is sent instead; `on_top` is put before it. Threads may share one."""

    def __init__(
        self, open_source: Opener, edit: Callable[[bytes], bytes] = lambda header: header, on_top: bytes = b""
    ) -> None:
        self.open = open_source
        self._edit = edit
        self._on_top = on_top
        self._whole: bytes | None = None
        self._facts: ContentFacts | None = None

    @classmethod
    def of(cls, whole: bytes) -> "MessageContent":
        """A content that is in memory already."""
        content = cls(lambda: _Memory(whole))
        content._whole = whole
        return content

    def topped(self, fields: bytes) -> "MessageContent":
        """Return the same content with further fields on top of it."""
        content = MessageContent(self.open, self._edit, fields + self._on_top)
        content._whole = None if self._whole is None else fields + self._whole
        facts = self.facts()
        content._facts = facts._replace(size=facts.size + len(fields) + fields.count(b"\n"))
        return content

    def chunks(self) -> Iterator[bytes]:
        """All of it, in pieces, with LF line ends; the header block is whole within the first."""
        if self._whole is not None:
            yield self._whole
            return
        with self.open() as source:
            first = self._first(source)
            following = source.read(_CHUNK)
            if not following:
                self._whole = first  # small: read once for looking at it and for sending it
            yield first
            while following:
                yield following
                following = source.read(_CHUNK)

    def header(self) -> bytes:
        """The header block, edited."""
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
        if end < 0:  # no empty line: what is not a field any more is not to be edited
            end = HeaderBlock(bytes(data)).strict_end
        return self._on_top + self._edit(bytes(data[:end])) + bytes(data[end:])

    def _look(self) -> ContentFacts:
        size, header_8bit, body_8bit, last = 0, False, False, b"\n"
        for number, chunk in enumerate(self.chunks()):
            size += len(chunk) + chunk.count(b"\n")
            last = chunk[-1:] or last
            if chunk.isascii():
                continue
            end = end_of_header_block(chunk) if number == 0 else 0
            end = len(chunk) if end < 0 else end
            header_8bit = header_8bit or not chunk[:end].isascii()
            body_8bit = body_8bit or not chunk[end:].isascii()
        return ContentFacts(size if last == b"\n" else size + 2, header_8bit, body_8bit)


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

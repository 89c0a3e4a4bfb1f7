"""The content of a message on the wire: CR LF line ends and stuffed dots there, LF alone inside the server.

Only CR LF . CR LF ends the content, and only CR LF ends a line (RFC 5321 2.3.8, 4.1.1.4). SMTP smuggling: if a server
also accepts LF . LF, LF . CR LF, CR . CR or the like as the end, a stranger can hide a second message, with any sender,
in the first one. So the decoder looks for the end in the octets as they came, before it normalises them. In its output,
a CR or LF alone becomes a line end and NUL is dropped. When the message goes out again, every line that begins with a
dot gets a stuffed dot. So a smuggled message does not work on the next server either.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Final

__all__ = ["ChunkDecoder", "ContentDecoder", "crlf", "stuff"]

_DOT: Final = b"\r\n."
_END: Final = b"\r\n.\r\n"
_BARE_LF = re.compile(rb"(?<!\r)\n")
# As numbers: for `b"\0" in octets` Python raises an exception within, and drops it.
_NUL: Final = 0
_LF: Final = 10
_CR: Final = 13


def _lf(octets: bytes) -> tuple[bytes, int, bool]:
    """Return the octets with LF line ends, the number of these, and True if they held CR, LF or NUL in a wrong place.
    The input must not cut a CR LF in two.
    """
    lines = octets.split(b"\r\n")
    text, within = b"\n".join(lines), b"".join(lines)
    if _LF not in within and _CR not in within and _NUL not in within:
        return text, len(lines) - 1, False
    text = text.replace(b"\r", b"\n").replace(b"\0", b"")
    return text, text.count(b"\n"), True


class ContentDecoder:
    """The decoder of the octets after DATA; `finished` is True once their end has come. `octets` counts those up to it,
    as they came; `size` is that of the content so far with CR LF line ends (RFC 1870).
    """

    __slots__ = ("_held", "_started", "bare", "finished", "octets", "size")

    def __init__(self) -> None:
        self.octets = self.size = 0
        self.bare = False
        self.finished = False
        # A dot at the very beginning ends the content too (RFC 5321 4.1.1.4): the CR LF of DATA counts as its own.
        self._held = b"\r\n"  # the last octets, if they may be the beginning of the end
        self._started = False

    def decode(self, data: bytes) -> tuple[bytes, bytes]:
        """Return the next piece of content, and the octets behind the end: commands, not content."""
        self.octets += len(data)
        data = self._held + data
        dot = data.find(_DOT)
        end = data.find(_END, dot) if dot >= 0 else -1
        if end < 0:
            held, rest = _beginning_of_end(data), b""
            octets = data[: len(data) - held]
            self._held = data[len(data) - held :]
        else:
            self.finished = True
            octets, rest = data[: end + 2], data[end + len(_END) :]
            self.octets -= len(rest)
        if dot != end:  # RFC 5321 4.5.2. The end is not among the octets, so the text behind a dot belongs to its line.
            octets = octets.replace(_DOT, b"\r\n")
        text, line_ends, bare = _lf(octets)
        self.bare |= bare
        self.size += len(text) + line_ends
        if not self._started and text:
            self._started = True
            self.size -= 2
            text = text[1:]
        return text, rest

    def decode_lenient(self, data: bytes) -> tuple[bytes, bytes]:
        """Decode as if each LF that stands alone had a CR before it. Only where there is one this differs."""
        before = self._held, self._started, self.bare, self.octets, self.size
        self.bare = False
        found = self.decode(data)
        if self.bare:
            self.finished = False
            self._held, self._started, self.bare, self.octets, self.size = before
            after_cr = b"\r" if self._held.endswith(b"\r") else b""
            found = self.decode(_BARE_LF.sub(b"\r\n", after_cr + data)[len(after_cr) :])
        else:
            self.bare = before[2]
        return found


def _beginning_of_end(data: bytes) -> int:
    """Return the number of octets at the end of `data` that could become CR LF . CR LF with those to come."""
    if data.endswith(b"\r"):
        return 4 if data.endswith(b"\r\n.\r") else 1
    if data.endswith(b"\r\n."):
        return 3
    return 2 if data.endswith(b"\r\n") else 0


class ChunkDecoder:
    """The decoder for BDAT, where the length is known and no dot is stuffed (RFC 3030 2); `size` as for DATA."""

    __slots__ = ("_held", "bare", "size")

    def __init__(self) -> None:
        self.size = 0
        self.bare = False
        self._held = b""  # a CR that waits for its LF, which may come with the next chunk

    def decode(self, data: bytes, *, last: bool = False) -> bytes:
        data = self._held + data
        self._held = b""
        if data.endswith(b"\r") and not last:
            data, self._held = data[:-1], b"\r"
        text, line_ends, bare = _lf(data)
        self.bare |= bare
        self.size += len(text) + line_ends
        return text


def crlf(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield content for BDAT: each line end becomes CR LF, the last line gets one, and no CR, LF or NUL stays alone."""
    held, ended = b"", True
    for chunk in chunks:
        text = held + chunk
        held = b""
        if b"\r" in text:
            if text.endswith(b"\r"):
                text, held = text[:-1], b"\r"
            text = text.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        text = text.replace(b"\0", b"")
        if text:
            ended = text.endswith(b"\n")
            yield text.replace(b"\n", b"\r\n")
    if held or not ended:
        yield b"\r\n"


def stuff(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield content for DATA: as `crlf()`, with stuffed dots (RFC 5321 4.5.2) and the end."""
    line_start = True
    for text in crlf(chunks):
        stuffed = text.replace(b"\n.", b"\n..")
        yield b"." + stuffed if line_start and text.startswith(b".") else stuffed
        line_start = text.endswith(b"\n")
    yield b".\r\n"

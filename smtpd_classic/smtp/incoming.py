"""The content of one message during its arrival, by DATA or by BDAT."""

import re

from smtpd_classic.smtp.buffer import ReceiveBuffer
from smtpd_classic.smtp.content import ChunkDecoder, ContentDecoder

__all__ = ["Chunks", "Data", "Incoming"]

_BARE_LF = re.compile(rb"(?<!\r)\n")


class Data:
    """The content behind a 354, up to the dot. `lenient`: LF alone ends a line too."""

    __slots__ = ("_after_cr", "_decoder", "_lenient", "octets")

    chunking = False
    last = True

    def __init__(self, *, lenient: bool = False) -> None:
        self.octets = 0  # counted on the wire
        self._decoder = ContentDecoder()
        self._lenient = lenient
        self._after_cr = False

    @property
    def complete(self) -> bool:
        return self._decoder.finished

    @property
    def bare(self) -> bool:
        return self._decoder.bare

    def read(self, buffer: ReceiveBuffer) -> bytes | None:
        """Return the next piece, which may be empty; None if more octets must come first."""
        data = buffer.take(len(buffer))
        if not data:
            return None
        if self._lenient and b"\n" in data:
            return self._read_lenient(buffer, data)
        self._after_cr = data.endswith(b"\r")
        text, rest = self._decoder.decode(data)
        if rest:
            buffer.put_back(rest)
        self.octets += len(data) - len(rest)
        return text

    def _read_lenient(self, buffer: ReceiveBuffer, data: bytes) -> bytes:
        """Return content in which LF alone may end a line, as if CR LF did."""
        mended = (b"\r" if self._after_cr else b"") + data
        if mended.count(b"\n") != mended.count(b"\r\n"):  # the pattern is tried at each octet: 20 times as slow
            mended = _BARE_LF.sub(b"\r\n", mended)
        mended = mended[self._after_cr :]
        self._after_cr = data.endswith(b"\r")
        text, rest = self._decoder.decode(mended)
        if rest:
            buffer.replace(rest)
        self.octets += len(mended) - len(rest)
        return text


class Chunks:
    """The chunks of BDAT commands; `last` and `complete` are those of the present chunk."""

    __slots__ = ("_decoder", "_left", "last", "octets")

    chunking = True

    def __init__(self) -> None:
        self.octets = 0
        self.last = False
        self._left = 0
        self._decoder = ChunkDecoder()

    @property
    def complete(self) -> bool:
        return self._left == 0

    @property
    def bare(self) -> bool:
        return self._decoder.bare

    def expect(self, size: int, *, last: bool) -> None:
        self._left = size
        self.last = last

    def skip(self, buffer: ReceiveBuffer) -> bool:
        """Read past the chunk. Return True at its end."""
        self._left -= len(buffer.take(self._left))
        return self.complete

    def read(self, buffer: ReceiveBuffer) -> bytes | None:
        piece = buffer.take(self._left)
        if not piece and self._left:
            return None
        self._left -= len(piece)
        self.octets += len(piece)
        return self._decoder.decode(piece, last=self.last and self.complete)


Incoming = Data | Chunks

"""The content of one message during its arrival, by DATA or by BDAT."""

from smtpd_classic.smtp.buffer import ReceiveBuffer
from smtpd_classic.smtp.content import ChunkDecoder, ContentDecoder

__all__ = ["Chunks", "Data", "Incoming"]


class Data:
    """The content behind a 354, up to the dot. `lenient`: LF alone ends a line too."""

    __slots__ = ("_decoder", "_lenient")

    chunking = False
    last = True

    def __init__(self, *, lenient: bool = False) -> None:
        self._decoder = ContentDecoder()
        self._lenient = lenient

    @property
    def octets(self) -> int:
        """Return the number of octets so far, counted on the wire."""
        return self._decoder.octets

    @property
    def size(self) -> int:
        return self._decoder.size

    @property
    def complete(self) -> bool:
        return self._decoder.finished

    @property
    def bare(self) -> bool:
        return self._decoder.bare

    def read(self, buffer: ReceiveBuffer) -> bytes | None:
        """Return the next piece, which may be empty; None if more octets must come first."""
        data = buffer.take_all()
        if not data:
            return None
        text, rest = self._decoder.decode_lenient(data) if self._lenient else self._decoder.decode(data)
        if rest:
            buffer.replace(rest)
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
    def size(self) -> int:
        return self._decoder.size

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

"""The pieces of a content that is too large for memory.

Not compiled: machine code does not close a generator that is given up, and the file would stay open.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Protocol

__all__ = ["ContentSource", "Opener", "pieces"]


class ContentSource(Protocol):
    def read(self, size: int = -1, /) -> bytes: ...


Opener = Callable[[], AbstractContextManager[ContentSource]]


def pieces(open_source: Opener, first: Callable[[ContentSource], bytes], size: int) -> Iterator[bytes]:
    """Yield what `first` makes of the beginning, then the rest in pieces of `size` octets."""
    with open_source() as source:
        yield first(source)
        while following := source.read(size):
            yield following

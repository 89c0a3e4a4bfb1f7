"""A child of the supervisor, as the supervisor sees it."""

import socket
import time
from contextlib import suppress
from dataclasses import dataclass

__all__ = ["Child"]


@dataclass(slots=True)
class Child:
    """`link` is our end of the socket to it; `column`, its column of the counters, is 0 for one that counts nothing."""

    pid: int
    role: str
    column: int
    processor: int
    link: socket.socket
    born: float
    kill_at: float = 0.0  # when it has had time enough to end; 0: it is to live

    @property
    def lasting(self) -> bool:
        """Return True if another has to take its place when it ends."""
        return self.role != "sweeper" and not self.kill_at

    def heard(self, deadline: float) -> bytes:
        """Return its next word; blank if it has none until the deadline of the monotonic clock, or has ended."""
        self.link.settimeout(max(0.01, deadline - time.monotonic()))
        try:
            return self.link.recv(1)
        except OSError:
            return b""

    def tell_to_end(self, word: bytes, kill_after_s: float) -> None:
        """Say that it is to end, and how: DRAIN or STOP."""
        self.kill_at = time.monotonic() + kill_after_s
        with suppress(OSError):
            self.link.send(word)

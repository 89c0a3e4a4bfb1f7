"""Queue ids: `\\w+`, sorted by arrival, unique across threads and processes without a lock.

An id is 13 hexadecimal digits of microseconds since the epoch (enough until 2112), then 7 of the kernel's random
numbers. Processes and threads need not know of each other, and a client cannot guess the name under which its message
is being written.
"""

import os
import re

__all__ = ["arrival_of", "is_queue_id", "new_queue_id"]

_FORM = re.compile(r"[0-9A-F]{20}")
_LATEST = 0xFFFFFFFFFFFFF


def new_queue_id(now: float) -> str:
    """Return a name for a message that arrives at `now` (seconds since the epoch)."""
    microseconds = min(max(int(now * 1_000_000), 0), _LATEST)
    return f"{microseconds:013X}{int.from_bytes(os.urandom(4)) >> 4:07X}"


def arrival_of(queue_id: str) -> float:
    return int(queue_id[:13], 16) / 1_000_000


def is_queue_id(text: str) -> bool:
    """Return True if `text` can be the name of an entry. Every name is checked here before it is part of a path."""
    return _FORM.fullmatch(text) is not None

"""The wake FIFO: whoever puts mail into the queue tells the retry thread its queue id, and never waits for it.

What is not read, because nobody listens or the pipe is full, is found by the retry thread's own slow scan.
"""

import os
import select
import stat

__all__ = ["Wakes", "wake"]

_LONGEST_ID = 128


def wake(path: str, queue_id: str = "") -> bool:
    """Tell the retry thread of `queue_id`, or (blank) to look by itself. Whether somebody was there to hear it."""
    try:
        fd = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        if not stat.S_ISFIFO(os.fstat(fd).st_mode):
            return False
        os.write(fd, queue_id.encode("ascii", "ignore")[:_LONGEST_ID] + b"\n")  # within PIPE_BUF: whole or not at all
    except OSError:
        return False
    finally:
        os.close(fd)
    return True


class Wakes:
    """The reading end. Raises OSError when the FIFO cannot be made or opened."""

    def __init__(self, path: str) -> None:
        make_fifo(path)
        # Open for writing too: with a writer there is never an end of file to spin on.
        self._fd = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        self._rest = b""

    def fileno(self) -> int:
        return self._fd

    def read(self, timeout_s: float = 0.0) -> tuple[str, ...]:
        """The queue ids told since the last call, waiting up to `timeout_s` for the first. Blank: look by yourself."""
        poll = select.poll()
        poll.register(self._fd, select.POLLIN)
        if not poll.poll(max(0.0, timeout_s) * 1000):
            return ()
        try:
            found = os.read(self._fd, 65536)
        except BlockingIOError:
            return ()
        *lines, self._rest = (self._rest + found).split(b"\n")
        self._rest = self._rest[-_LONGEST_ID:]
        ids = (line.decode("ascii", "replace") for line in lines if len(line) <= _LONGEST_ID)
        return tuple(dict.fromkeys(each for each in ids if not each or each.replace("_", "").isalnum()))

    def close(self) -> None:
        os.close(self._fd)


def make_fifo(path: str) -> None:
    """A FIFO at `path`, whatever an earlier life or somebody else left there."""
    try:
        os.mkfifo(path, 0o600)
        return
    except FileExistsError:
        if stat.S_ISFIFO(os.lstat(path).st_mode):
            return
    os.unlink(path)
    os.mkfifo(path, 0o600)

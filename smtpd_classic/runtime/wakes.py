"""The wake FIFO: a process that queues a message sends its queue id to the retry thread, and never waits for it.

The slow scan of the retry thread finds ids that were lost because there was no reader or the pipe was full.
"""

import os
import select
import stat
import threading

__all__ = ["Waker", "Wakes"]

_LONGEST_ID = 128


class Waker:
    """The writing end, kept open once there is a reader. Thread-safe; never raises."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._fd = -1
        self._lock = threading.Lock()

    def wake(self, queue_id: str = "") -> bool:
        """Send `queue_id` to the retry thread; blank starts a scan. Return True if there was a reader."""
        word = queue_id.encode("ascii", "ignore")[:_LONGEST_ID] + b"\n"  # within PIPE_BUF: whole or not at all
        return self._write(word) or (self._open() and self._write(word))

    def _write(self, word: bytes) -> bool:
        if self._fd < 0:
            return False
        try:
            os.write(self._fd, word)
        except OSError:  # full, or without a reader
            return False
        return True

    def _open(self) -> bool:
        """Open the FIFO; one that has been made anew has another reader. Return True on success."""
        with self._lock:
            try:
                fd = os.open(self._path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
            except OSError:
                return False
            if not stat.S_ISFIFO(os.fstat(fd).st_mode):
                os.close(fd)
                return False
            if self._fd < 0:
                self._fd = fd
            else:  # the number stays: another thread may be about to write to it
                os.dup2(fd, self._fd, inheritable=False)
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
        """Return the queue ids since the last call; wait up to `timeout_s` for one. A blank id asks for a scan."""
        if timeout_s > 0:
            poll = select.poll()
            poll.register(self._fd, select.POLLIN)
            poll.poll(timeout_s * 1000)
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
    """Make a FIFO at `path`; replace a file of another kind."""
    try:
        os.mkfifo(path, 0o600)
        return
    except FileExistsError:
        if stat.S_ISFIFO(os.lstat(path).st_mode):
            return
    os.unlink(path)
    os.mkfifo(path, 0o600)

"""smtp-sink, which keeps nothing, with a count of what it got."""

import contextlib
import os
import subprocess

from tests.tools import need

__all__ = ["Sink"]


class Sink:
    def __init__(self, port: int) -> None:
        self.port = port
        self._process = subprocess.Popen(
            [need("smtp-sink"), "-u", "nobody", "-c", f"127.0.0.1:{port}", "1000"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert self._process.stdout is not None
        self._out = self._process.stdout
        os.set_blocking(self._out.fileno(), False)
        self._last = b""

    @property
    def pid(self) -> int:
        return self._process.pid

    def count(self) -> int:
        """Messages since it was started; it writes `sess=… quit=… mesg=…` again and again."""
        with contextlib.suppress(BlockingIOError):
            while more := self._out.read():
                self._last = (self._last + more)[-400:]
        parts = self._last.rpartition(b"mesg=")
        return int(parts[2].split()[0]) if parts[1] and parts[2].split() else 0

    def stop(self) -> None:
        self._process.kill()
        self._process.wait(10)

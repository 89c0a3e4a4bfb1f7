"""smtp-sink, which keeps nothing, with a count of what it got."""

import os
import subprocess
import tempfile

from tests.tools import need

__all__ = ["Sink"]


class Sink:
    def __init__(self, port: int) -> None:
        self.port = port
        self._out = tempfile.TemporaryFile()
        self._process = subprocess.Popen(
            [need("smtp-sink"), "-u", "nobody", "-c", f"127.0.0.1:{port}", "1000"],
            stdout=self._out,
            stderr=subprocess.DEVNULL,
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    def count(self) -> int:
        """Messages since it was started; it writes `sess=… quit=… mesg=…` again and again."""
        file = self._out.fileno()
        parts = os.pread(file, 400, max(os.fstat(file).st_size - 400, 0)).rpartition(b"mesg=")
        return int(parts[2].split()[0]) if parts[1] and parts[2].split() else 0

    def stop(self) -> None:
        self._process.kill()
        self._process.wait(10)
        self._out.close()

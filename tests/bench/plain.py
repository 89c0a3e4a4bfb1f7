"""What is no mail server of a day's work: a library's own example, and a sink that keeps nothing."""

import subprocess
import sys
from pathlib import Path
from typing import ClassVar

from tests.bench.peer import Login, answers, count_new
from tests.bench.sink import Sink
from tests.instance import free_port
from tests.waiting import until

__all__ = ["Aiosmtpd", "SinkAlone"]

AIOSMTPD = """
import mailbox, sys, threading
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Mailbox
Controller(Mailbox(sys.argv[1]), hostname="127.0.0.1", port=int(sys.argv[2])).start()
threading.Event().wait()
"""


class Aiosmtpd:
    """Its own handler for Maildirs; it does not relay."""

    name = "aiosmtpd"
    can: ClassVar[frozenset[str]] = frozenset({"local", "kept"})
    share: ClassVar[float] = 0.3
    most_sessions: ClassVar[int] = 1000
    login: Login | None = None

    def start(self, folder: Path, relay: int) -> None:
        self.port = free_port()
        self.folder = folder
        folder.mkdir(parents=True)
        self.process = subprocess.Popen([sys.executable, "-c", AIOSMTPD, str(folder / "all"), str(self.port)])
        until(lambda: answers(self.port), 20, lambda: "aiosmtpd gives no banner")

    def stop(self) -> None:
        self.process.kill()
        self.process.wait(20)

    def roots(self) -> list[int]:
        return [self.process.pid]

    def delivered(self) -> int:
        return count_new(self.folder)


class SinkAlone:
    """smtp-sink as the server: what the load generator and the loopback give at best."""

    name = "the sink"
    can: ClassVar[frozenset[str]] = frozenset({"local", "kept"})
    share: ClassVar[float] = 1.0
    most_sessions: ClassVar[int] = 1000
    login: Login | None = None

    def start(self, folder: Path, relay: int) -> None:
        self._sink = Sink(free_port())
        self.port = self._sink.port
        until(lambda: answers(self.port), 20, lambda: "smtp-sink gives no banner")

    def stop(self) -> None:
        self._sink.stop()

    def roots(self) -> list[int]:
        return [self._sink.pid]

    def delivered(self) -> int:
        return self._sink.count()

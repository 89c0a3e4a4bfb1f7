"""A Redis server of Debian for a test: on a socket or port of its own, started, stopped and paused as a test wants."""

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from redis import Redis

from tests.crash import crash
from tests.instance import free_port
from tests.package.debian import debian_13
from tests.tools import need
from tests.waiting import until

__all__ = ["PATIENT_S", "RedisServer", "valkey"]

PATIENT_S = 10.0  # the deadline of a client that no busy machine makes impatient


def valkey() -> tuple[str, ...]:
    """Return the command of Valkey: that of this machine, or of Debian 13 with the libraries of that."""
    if shutil.which("valkey-server"):
        return ("valkey-server",)
    root = debian_13()
    loader = next(root.glob("usr/lib*/ld-linux*.so.*"))
    libraries = next(root.glob("usr/lib/*-linux-gnu"))
    return str(loader), "--library-path", str(libraries), str(root / "usr" / "bin" / "valkey-server")


class RedisServer:
    """`program` may be the command of Valkey, which takes the same options."""

    def __init__(
        self, folder: Path, *options: str, program: Sequence[str] = ("redis-server",), ip: str = "127.0.0.1"
    ) -> None:
        self._program = program
        self._ip = ip
        self.port = free_port()
        self.tls_port = 0
        self.certificate = ""
        self.url = f"redis://{ip}:{self.port}/0"
        self._folder = folder
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        where = ["--port", str(self.port), "--bind", self._ip, "--dir", str(self._folder)]
        command = [
            need(self._program[0]),
            *self._program[1:],
            *where,
            "--save",
            "",
            "--appendonly",
            "no",
            *self._options,
        ]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        # A server waits 50 ms for it: on a machine that is busy with other tests it must not wait for its turn.
        with suppress(PermissionError):
            os.setpriority(os.PRIO_PROCESS, self._process.pid, -15)
        until(self._answers, 10, lambda: "redis-server does not start")

    def _answers(self) -> bool:
        with suppress(OSError), socket.create_connection((self._ip, self.port), 1) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(10)[:1] in {b"+", b"-"}
        return False

    def ask(self, *words: str, password: str = "") -> None:
        """Send one command to it."""
        with Redis(self._ip, self.port, password=password) as client:
            client.execute_command(*words)

    def stop(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(signal.SIGCONT)
            process.terminate()
            process.wait(10)

    def kill(self) -> None:
        crash(self._process)
        self._process = None

    def pause(self) -> None:
        """Let it hang: connections open, no answers."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

"""A host with endless replies does not make the delivering process keep memory."""

import contextlib
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.client.fake_host import own_ip
from tests.retry.world import World
from tests.waiting import until

ROOT = Path(__file__).parent.parent.parent
LINES, OCTETS, RECIPIENTS = 199, 1900, 100
MOST_MORE_KIB = 20 * 1024


class HostileHost:
    """Takes every command, and answers each RCPT with 199 lines of 1,900 octets."""

    def __init__(self) -> None:
        self.ip = own_ip()
        self._server = socket.create_server((self.ip, 0), backlog=64)
        self.port = int(self._server.getsockname()[1])
        self.refused = 0
        line = b"x" * (OCTETS - 6)
        self._refusal = b"".join(b"450-" + line + b"\r\n" for _ in range(LINES - 1)) + b"450 " + line + b"\r\n"
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._server.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection, connection.makefile("rb") as commands:
            connection.sendall(b"220 hostile.example ESMTP\r\n")
            for command in commands:
                verb = command[:4].upper()
                if verb == b"RCPT":
                    connection.sendall(self._refusal)
                    self.refused += 1
                elif verb == b"EHLO":
                    connection.sendall(b"250-hostile.example\r\n250 PIPELINING\r\n")
                elif verb == b"DATA":
                    connection.sendall(b"554 no recipients\r\n")
                else:
                    connection.sendall(b"250 ok\r\n")

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._thread.join(10)


def resident_kib(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise AssertionError("no VmRSS")


@pytest.mark.parametrize("messages", [12, pytest.param(100, marks=pytest.mark.torture)])
def test_replies_of_a_hostile_host_are_not_kept(tmp_path: Path, messages: int) -> None:
    host = HostileHost()
    world = World(tmp_path, port=host.port)
    command = [sys.executable, "-m", "tests.retry.deliverer", str(tmp_path), host.ip, str(host.port)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as child:
        try:
            assert child.stdout is not None
            assert child.stdout.readline() == b"started\n"
            first = world.put(*(f"user{each}@example.org" for each in range(RECIPIENTS)))
            assert world.services.runtime.wake(first)
            until(lambda: (state := world.state(first)) is not None and state.attempts, 60, world.log)
            before = resident_kib(child.pid)
            ids = [world.put(*(f"user{each}@example.org" for each in range(RECIPIENTS))) for _ in range(messages)]
            for each in ids:
                world.services.runtime.wake(each)
            until(lambda: all((state := world.state(each)) and state.attempts for each in ids), 300, world.log)
            more = resident_kib(child.pid) - before
            assert host.refused >= messages * RECIPIENTS
            assert more <= MOST_MORE_KIB, f"{more} KiB more after {messages} messages"
        finally:
            child.kill()
            host.close()
            world.close()

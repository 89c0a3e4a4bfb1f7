"""What every peer is asked: whether it answers, and what lies in its mailboxes. And a door before it."""

import socket
import threading
from contextlib import suppress
from pathlib import Path

__all__ = ["Door", "answers", "new_mail"]


def answers(ip: str, port: int = 25) -> bool:
    try:
        with socket.create_connection((ip, port), 5) as connection:
            return connection.recv(200).startswith(b"220")
    except OSError:
        return False


def new_mail(maildir: Path) -> list[bytes]:
    """The new messages of a Maildir, oldest first."""
    new = maildir / "new"
    if not new.is_dir():
        return []
    return [path.read_bytes() for path in sorted(new.iterdir(), key=lambda path: path.stat().st_mtime_ns)]


class Door:
    """A way to a server that is open as long as this lasts: port 25 of `ip` leads to that of `server`."""

    def __init__(self, ip: str, server: str) -> None:
        self._server = server
        self._listening = socket.create_server((ip, 25))
        self._open: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]

    def __enter__(self) -> "Door":
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        for each in (self._listening, *self._open):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(20)
            assert not thread.is_alive()
        for each in (self._listening, *self._open):
            each.close()

    def _accept(self) -> None:
        while True:
            try:
                outside, _ = self._listening.accept()
            except OSError:
                return
            inside = socket.create_connection((self._server, 25), 20)
            self._open += [outside, inside]
            for source, sink in ((outside, inside), (inside, outside)):
                self._threads.append(threading.Thread(target=_pump, args=(source, sink)))
                self._threads[-1].start()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)

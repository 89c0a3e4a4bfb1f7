"""A filter whose every answer a test decides, at a UNIX socket or a TCP port."""

import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from smtpd_classic.milter.packets import PacketReader, packet

__all__ = ["CLOSE", "CONTINUE", "SILENT", "FakeFilter", "add", "change_field", "insert", "options", "reply_code"]

CONTINUE = packet(b"c")
CLOSE = b"<close>"
SILENT = b""
_UNANSWERED = frozenset(b"DAQ")


def add(name: str, value: str) -> bytes:
    return packet(b"h", f"{name}\0{value}\0".encode())


def insert(position: int, name: str, value: str) -> bytes:
    return packet(b"i", struct.pack("!I", position) + f"{name}\0{value}\0".encode())


def change_field(occurrence: int, name: str, value: str) -> bytes:
    return packet(b"m", struct.pack("!I", occurrence) + f"{name}\0{value}\0".encode())


def reply_code(text: str) -> bytes:
    return packet(b"y", text.encode() + b"\0")


@dataclass
class FakeFilter:
    """`answers` holds the octets for a command, by its letter; without an entry it continues. `connections` has the
    packets of each connection, `sockets` their other ends."""

    answers: dict[str, bytes | Callable[[bytes], bytes]] = field(default_factory=dict)
    version: int = 6
    actions: int = 0x13F
    steps: int = 0
    symbols: bytes = b""
    connections: list[list[tuple[str, bytes]]] = field(default_factory=list)
    sockets: list[socket.socket] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)
    address: str = ""
    _listening: socket.socket | None = None

    def listen(self, folder: Path | None = None) -> "FakeFilter":
        if folder is None:
            self._listening = socket.create_server(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{self._listening.getsockname()[1]}"
        else:
            path = folder / f"filter{id(self)}"
            self._listening = socket.socket(socket.AF_UNIX)
            self._listening.bind(str(path))
            self._listening.listen(100)
            self.address = f"unix:{path}"
        threading.Thread(target=self._accept, args=[self._listening], daemon=True).start()
        return self

    def close(self) -> None:
        """Take no more connections. May be called twice."""
        listening, self._listening = self._listening, None
        if listening is not None:
            listening.shutdown(socket.SHUT_RDWR)
            listening.close()

    def commands(self, connection: int = 0) -> str:
        """Return the letters of the commands, without macros."""
        return "".join(name for name, _ in self.connections[connection] if name != "D")

    def data(self, command: str, connection: int = 0) -> list[bytes]:
        return [data for name, data in self.connections[connection] if name == command]

    def macros(self, command: str, connection: int = 0) -> dict[str, str]:
        """Return the macros that came with the last such command."""
        found: dict[str, str] = {}
        for data in self.data("D", connection):
            if data[:1] == command.encode():
                words = data[1:].decode().split("\0")
                found = dict(zip(words[::2], words[1::2], strict=False))
        return found

    def _accept(self, listening: socket.socket) -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            packets: list[tuple[str, bytes]] = []
            self.connections.append(packets)
            self.sockets.append(connection)
            threading.Thread(target=self._serve, args=[connection, packets], daemon=True).start()

    def _serve(self, connection: socket.socket, packets: list[tuple[str, bytes]]) -> None:
        reader = PacketReader()
        with connection:
            while True:
                try:
                    data = connection.recv(65536)
                except OSError:
                    data = b""
                if not data:
                    self.ended.set()
                    return
                reader.feed(data)
                while (found := reader.next()) is not None:
                    packets.append((found.command.decode(), found.data))
                    answer = self._answer(found.command, found.data)
                    if answer == CLOSE:
                        self.ended.set()
                        return
                    if answer:
                        try:
                            connection.sendall(answer)
                        except OSError:
                            return

    def _answer(self, command: bytes, data: bytes) -> bytes:
        default = b"" if command[0] in _UNANSWERED else CONTINUE
        if command == b"O":
            default = packet(b"O", struct.pack("!III", self.version, self.actions, self.steps) + self.symbols)
        answer = self.answers.get(command.decode(), default)
        return answer if isinstance(answer, bytes) else answer(data)


def options(*filters: FakeFilter, **extra: str) -> str:
    """Return the sections of the configuration."""
    lines = "".join(f"{name.rstrip('_')} = {value}\n" for name, value in extra.items())
    return "".join(f"[milter m{number}]\naddress = {each.address}\n{lines}" for number, each in enumerate(filters))

"""Clients that send as fast as they may and remember what was promised to them."""

import socket
import threading
import time
from typing import BinaryIO

__all__ = ["Load"]


class Load:
    """`connections` clients, each with one message after another, until `stop`. A lost connection is made again.

    `acknowledged` holds the token of each message that got its 250; a token is the local part of its Message-ID.
    `failures` holds the reasons why connections have ended before that.
    """

    def __init__(self, port: int, recipient: str, connections: int = 20, size: int = 2048) -> None:
        self.acknowledged: set[str] = set()
        self.failures: list[str] = []
        self._port = port
        self._recipient = recipient
        self._size = size
        self._stopping = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(number,), daemon=True) for number in range(connections)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join(30)
        assert not any(thread.is_alive() for thread in self._threads)

    def _run(self, number: int) -> None:
        while not self._stopping.is_set():
            try:
                self._converse(number)
            except OSError as problem:
                self.failures.append(str(problem))

    def _converse(self, number: int) -> None:
        with socket.create_connection(("127.0.0.1", self._port), 10) as connection:
            lines = connection.makefile("rb")
            self._expect(lines.readline(), b"220")
            connection.sendall(b"HELO client.test\r\n")
            self._expect(lines.readline(), b"250")
            while not self._stopping.is_set():
                self._send(connection, lines, f"{number}.{time.monotonic_ns()}")

    def _send(self, connection: socket.socket, lines: BinaryIO, token: str) -> None:
        read = lines.readline
        connection.sendall(b"MAIL FROM:<a@client.test>\r\n")
        self._expect(read(), b"250")
        connection.sendall(f"RCPT TO:<{self._recipient}>\r\n".encode())
        self._expect(read(), b"250")
        connection.sendall(b"DATA\r\n")
        self._expect(read(), b"354")
        head = f"From: a@client.test\r\nMessage-ID: <{token}@load.test>\r\nSubject: {token}\r\n\r\n".encode()
        connection.sendall(head + b"x" * 70 * (self._size // 70) + b"\r\nEND\r\n.\r\n")
        self._expect(read(), b"250")
        self.acknowledged.add(token)

    @staticmethod
    def _expect(line: bytes, code: bytes) -> None:
        if not line.startswith(code):
            raise ConnectionError(line.decode(errors="replace"))

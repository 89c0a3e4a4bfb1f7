"""The way to the server's socket."""

import os
import select
import socket

__all__ = ["LocalSocket", "relay"]

_TIMEOUT_S = 300.0
_CHUNK = 64 * 1024
_LONGEST_PATH = 107  # sun_path (unix(7)), less its NUL


class LocalSocket:
    """A `Channel`. Raises OSError when there is no server."""

    def __init__(self, path: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(_TIMEOUT_S)
        try:
            if len(os.fsencode(path)) <= _LONGEST_PATH:
                self.socket.connect(path)
            else:
                folder = os.open(os.path.dirname(path), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
                try:
                    self.socket.connect(f"/proc/self/fd/{folder}/{os.path.basename(path)}")
                finally:
                    os.close(folder)
        except OSError:
            self.socket.close()
            raise

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def receive(self) -> bytes:
        return self.socket.recv(_CHUNK)

    def close(self) -> None:
        self.socket.close()


def relay(channel: LocalSocket, source: int, sink: int) -> None:
    """Copy the octets of both sides until the server ends the conversation. Raises OSError.

    The server is the first to speak (RFC 5321 3.1), also to those who have written all of it to a file before.
    """
    banner = channel.receive()
    _write(sink, banner)
    poll = select.poll()
    poll.register(channel.socket, select.POLLIN)
    poll.register(source, select.POLLIN)
    while banner:
        for fd, _ in poll.poll():
            if fd == source:
                data = os.read(source, _CHUNK)
                if data:
                    channel.send(data)
                else:
                    poll.unregister(source)
                    channel.socket.shutdown(socket.SHUT_WR)
            else:
                data = channel.receive()
                if not data:
                    return
                _write(sink, data)


def _write(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]

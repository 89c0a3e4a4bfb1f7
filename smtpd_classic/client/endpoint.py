"""The places that a client connects to: a port of a TCP address, or a Unix socket."""

import socket
from typing import NamedTuple, Protocol

__all__ = ["Endpoint", "TcpEndpoint", "UnixEndpoint"]


class Endpoint(Protocol):
    """A place to connect to; `str()` names it in the log. `source` is the address of the connection, or blank."""

    @property
    def source(self) -> str: ...

    def connect(self, timeout_s: float) -> socket.socket:
        """Return a connected socket. Raises OSError."""
        ...


class TcpEndpoint(NamedTuple):
    """A port of an IP address; the connection comes from the address `source` if it is given."""

    ip: str
    port: int
    source: str = ""

    def __str__(self) -> str:
        return f"[{self.ip}]:{self.port}"

    def connect(self, timeout_s: float) -> socket.socket:
        source = (self.source, 0) if self.source else None
        connection = socket.create_connection((self.ip, self.port), timeout_s, source)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection


class UnixEndpoint(NamedTuple):
    """A Unix socket on this machine."""

    path: str

    @property
    def source(self) -> str:
        return ""

    def __str__(self) -> str:
        return f"[{self.path}]"

    def connect(self, timeout_s: float) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.settimeout(timeout_s)
            connection.connect(self.path)
        except OSError:
            connection.close()
            raise
        return connection

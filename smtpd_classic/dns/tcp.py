"""A question over TCP (RFC 7766), after an answer that fits no datagram."""

import contextlib
import selectors
import socket
from collections.abc import Callable

import dns.resolver

from smtpd_classic.dns.loop import Loop, Timer

__all__ = ["Server", "TcpQuestion", "configured", "connecting"]

Server = tuple[str, int]


def configured() -> list[Server]:
    """Return the name servers of /etc/resolv.conf; without any, the one of this machine."""
    try:
        resolver = dns.resolver.Resolver()
    except dns.resolver.NoResolverConfiguration:
        return [("127.0.0.1", 53)]
    return [(str(each), resolver.port) for each in resolver.nameservers] or [("127.0.0.1", 53)]


def connecting(server: Server, kind: int) -> socket.socket:
    """Return a non-blocking socket on its way to the server; a connected datagram socket receives the server's own
    datagrams only. Raises OSError."""
    family, _, _, _, address = socket.getaddrinfo(*server, type=kind, flags=socket.AI_NUMERICHOST)[0]
    sock = socket.socket(family, kind)
    sock.setblocking(False)
    try:
        with contextlib.suppress(BlockingIOError):
            sock.connect(address)
    except OSError:
        sock.close()
        raise
    return sock


class TcpQuestion:
    """One question over a connection of its own. `done` is called once, with the octets of the answer or with none."""

    def __init__(
        self, server: Server, query: bytes, loop: Loop, timeout_s: float, done: Callable[[bytes], None]
    ) -> None:
        self._server, self._loop, self._timeout_s = server, loop, timeout_s
        self._done: Callable[[bytes], None] | None = done
        self._socket: socket.socket | None = None
        self._late: Timer | None = None
        self._out = len(query).to_bytes(2, "big") + query
        self._in = bytearray()

    def start(self) -> None:
        self._late = self._loop.after(self._timeout_s, self._fail)
        try:
            self._socket = connecting(self._server, socket.SOCK_STREAM)
        except OSError:
            self._fail()
        else:
            self._loop.watch(self._socket, selectors.EVENT_WRITE, self._write)

    def close(self) -> None:
        self._done = None
        if self._late is not None:
            self._late.cancel()
        if self._socket is not None:
            self._loop.close(self._socket)
            self._socket = None

    def _write(self) -> None:
        assert self._socket is not None
        try:
            self._out = self._out[self._socket.send(self._out) :]
        except BlockingIOError:
            return
        except OSError:
            self._fail()
            return
        if not self._out:
            self._loop.watch(self._socket, selectors.EVENT_READ, self._read)

    def _read(self) -> None:
        assert self._socket is not None
        try:
            data = self._socket.recv(65_537)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self._in += data
        if not data:
            self._fail()
        elif len(self._in) >= 2 and len(self._in) >= 2 + int.from_bytes(self._in[:2], "big"):
            self._finish(bytes(self._in[2:]))

    def _fail(self) -> None:
        self._finish(b"")

    def _finish(self, octets: bytes) -> None:
        done = self._done
        self.close()
        if done is not None:
            done(octets)

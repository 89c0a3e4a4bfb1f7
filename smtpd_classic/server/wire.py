"""One client's socket: reads that end at a deadline, in the clear or under TLS.

In the clear the deadline is the kernel's (SO_RCVTIMEO, which a connection inherits from the socket that it was accepted
on), so that a read is one system call and not two. Under TLS it is Python's.
"""

import fcntl
import socket
import ssl
import struct
import termios
import time

from smtpd_classic.smtp.events import TlsInfo
from smtpd_classic.socket_timeouts import SHORTEST_S, limit_receiving, limit_sending

__all__ = ["ServerWire", "prepare"]

# As plain numbers: to combine two of the enum takes as long as the call.
_LOOK = int(socket.MSG_PEEK | socket.MSG_DONTWAIT)
_PEEK, _MORE = int(socket.MSG_PEEK), int(socket.MSG_MORE)
_NOTHING = struct.pack("@i", 0)
_LINGER_S = 1.0
_LINGER_OCTETS = 1 << 20


def prepare(listening: socket.socket, timeout_s: float) -> None:
    """Set the options of a listening socket. Linux gives them to every connection accepted on it."""
    listening.setblocking(False)
    _set_timeouts(listening, timeout_s)
    if listening.family != socket.AF_UNIX:
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)


def _set_timeouts(connection: socket.socket, timeout_s: float) -> None:
    limit_receiving(connection, timeout_s)
    limit_sending(connection, timeout_s)


class ServerWire:
    """One client's socket. `timeout_s` is the one that the listening socket was prepared with."""

    __slots__ = ("_cut", "_encrypted", "_socket", "_timeout_s")

    def __init__(self, connection: socket.socket, timeout_s: float) -> None:
        self._socket = connection
        self._timeout_s = timeout_s
        self._encrypted = False
        self._cut = False

    @property
    def cut_off(self) -> bool:
        """Return True if `cut` has been called: the end of input comes from us, not from the client."""
        return self._cut

    def receive(self, most: int, timeout_s: float) -> bytes:
        """Return received octets, at least one; none at the end. Raises TimeoutError, or another OSError.

        A time below zero is over: then not even octets that have come are read, since a client that never pauses would
        have some for ever.
        """
        if timeout_s < 0:
            raise TimeoutError
        if timeout_s != self._timeout_s:
            self._set_timeout(timeout_s)
        try:
            return self._socket.recv(most)
        except BlockingIOError:
            raise TimeoutError from None

    def send(self, data: bytes) -> None:
        """Send all of it. Raises TimeoutError when the client does not read, or another OSError."""
        try:
            self._socket.sendall(data)
        except BlockingIOError:
            raise TimeoutError from None

    def send_last(self, data: bytes) -> None:
        """Send the last reply before `close`: in the clear both leave in one packet."""
        if self._encrypted:
            self.send(data)
            return
        try:
            self._socket.sendall(data, _MORE)
        except BlockingIOError:
            raise TimeoutError from None

    def head(self, most: int) -> bytes:
        """Return the octets that have come by now, without taking them. In the clear only."""
        try:
            return self._socket.recv(most, _LOOK)
        except BlockingIOError:
            return b""

    def has_spoken(self) -> bool:
        """Return True if the client has sent something by now. Under TLS this takes the first octet away."""
        try:
            if not self._encrypted:  # to look without waiting would mostly raise, which takes longer than the call
                return fcntl.ioctl(self._socket.fileno(), termios.FIONREAD, _NOTHING) != _NOTHING
            self._socket.settimeout(0)
            try:
                return bool(self._socket.recv(1))
            finally:
                self._socket.settimeout(self._timeout_s)
        except (BlockingIOError, ssl.SSLWantReadError):
            return False

    def receive_head(self, most: int, timeout_s: float) -> bytes:
        """Return received octets without taking them; `drop` takes them. In the clear only."""
        if timeout_s != self._timeout_s:
            self._set_timeout(timeout_s)
        try:
            return self._socket.recv(most, _PEEK)
        except BlockingIOError:
            raise TimeoutError from None

    def drop(self, octets: int) -> None:
        while octets:
            octets -= len(self._socket.recv(octets))

    def start_tls(self, context: ssl.SSLContext, timeout_s: float) -> TlsInfo:
        """Shake hands within the time. Raises OSError (of which ssl.SSLError and TimeoutError are kinds)."""
        plain, timeout_before = self._socket, self._timeout_s
        plain.settimeout(timeout_s)
        wrapped = context.wrap_socket(plain, server_side=True, do_handshake_on_connect=False)
        self._socket, self._encrypted = wrapped, True
        wrapped.do_handshake()
        wrapped.settimeout(timeout_before)
        cipher, _, bits = wrapped.cipher() or ("", "", 0)
        return TlsInfo(wrapped.version() or "", cipher, bits)

    def cut(self) -> None:
        """End the input, from another thread. Sending goes on working."""
        self._cut = True
        try:
            # Not SSLSocket's own shutdown, which would make the rest of the session go out in the clear.
            socket.socket.shutdown(self._socket, socket.SHUT_RD)
        except OSError:
            return

    def close(self, *, linger: bool) -> None:
        """Close the socket; `linger` while the client may still send: a reset would discard the last reply."""
        try:
            if isinstance(self._socket, ssl.SSLSocket):
                self._socket.settimeout(0)
                self._end_tls(self._socket)
            if linger:
                self._linger()
        except OSError:
            pass
        finally:
            self._socket.close()

    @staticmethod
    def _end_tls(encrypted: ssl.SSLSocket) -> None:
        """Send the end of TLS, without waiting for the client's."""
        try:
            encrypted.unwrap()
        except (OSError, ValueError):
            return

    def _linger(self) -> None:
        socket.socket.shutdown(self._socket, socket.SHUT_WR)
        deadline, left = time.monotonic() + _LINGER_S, _LINGER_OCTETS
        self._socket.settimeout(_LINGER_S)
        while left > 0 and time.monotonic() < deadline:
            found = len(socket.socket.recv(self._socket, 65536))
            if not found:
                return
            left -= found

    def _set_timeout(self, timeout_s: float) -> None:
        if self._encrypted:
            self._socket.settimeout(max(timeout_s, SHORTEST_S))
        else:
            _set_timeouts(self._socket, timeout_s)
        self._timeout_s = timeout_s

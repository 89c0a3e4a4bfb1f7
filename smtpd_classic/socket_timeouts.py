"""The kernel's timeouts of a socket (SO_RCVTIMEO and SO_SNDTIMEO).

With a timeout of Python each call waits by one system call and reads by another, and lets other threads go before it
twice. With these a call is one system call. It raises BlockingIOError when the time is over.
"""

import socket
import struct

__all__ = ["SHORTEST_S", "limit_receiving", "limit_sending"]

SHORTEST_S = 0.001  # zero would mean for ever to the kernel, and no wait at all to Python


def limit_receiving(connection: socket.socket, timeout_s: float) -> None:
    """Let later calls that receive take no longer. The socket must block: no timeout of Python."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _timeval(timeout_s))


def limit_sending(connection: socket.socket, timeout_s: float) -> None:
    """Let each system call that sends, or connects, take no longer; `sendall` may need several of them."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _timeval(timeout_s))


def _timeval(timeout_s: float) -> bytes:
    seconds, fraction = divmod(max(timeout_s, SHORTEST_S), 1)
    return struct.pack("@ll", int(seconds), int(fraction * 1e6))

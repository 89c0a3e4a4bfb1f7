"""A network of a test's own: the whole of 127.0.0.0/8 with every port free, and nothing else to be reached.

Postfix wants the addresses on which it listens to be known to an interface: those of `addresses` are.

The thread that enters it makes its sockets and starts its programs there; they stay there when it leaves.
"""

import ctypes
import fcntl
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

__all__ = ["own_network"]

_CLONE_NEWNET = 0x40000000
_SIOCSIFFLAGS, _SIOCSIFADDR, _IFF_UP = 0x8914, 0x8916, 1
_libc = ctypes.CDLL(None, use_errno=True)


@contextmanager
def own_network(*addresses: str) -> Iterator[None]:
    before = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        if _libc.unshare(_CLONE_NEWNET):
            why = os.strerror(ctypes.get_errno())
            pytest.fail(f"Other servers are met in a network namespace, and that needs root: {why}.", pytrace=False)
        try:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
                fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sh22x", b"lo", _IFF_UP))
                for number, ip in enumerate(addresses, 1):
                    address = struct.pack("HH4s8x", socket.AF_INET, 0, socket.inet_aton(ip))
                    fcntl.ioctl(any_socket, _SIOCSIFADDR, struct.pack("16s16s8x", f"lo:{number}".encode(), address))
            yield
        finally:
            assert _libc.setns(before, _CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
    finally:
        os.close(before)

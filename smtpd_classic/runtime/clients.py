"""Whom an address stands for where clients are counted and blocked."""

import socket

__all__ = ["client_key"]

_LOOPBACK = bytes(15) + b"\x01"
_MAPPED = bytes(10) + b"\xff\xff"


def client_key(ip: str) -> str:
    """The address itself, or the /64 of an IPv6 address, which one client has all of.

    `::ffff:192.0.2.1` is 192.0.2.1, and `2001:db8::1%eth0` is 2001:db8::1. What is no address raises ValueError.
    """
    # Not ip_address(), which takes ten times as long, for every connection.
    try:
        if ":" not in ip:
            socket.inet_pton(socket.AF_INET, ip)
            return ip
        packed = socket.inet_pton(socket.AF_INET6, ip.partition("%")[0])
    except (OSError, ValueError):
        raise ValueError(f"“{ip}” is not an IP address.") from None
    if packed.startswith(_MAPPED):
        return socket.inet_ntop(socket.AF_INET, packed[12:])
    if packed == _LOOPBACK:
        return "::1"
    return socket.inet_ntop(socket.AF_INET6, packed[:8] + bytes(8))

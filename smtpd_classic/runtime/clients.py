"""The key under which a client is counted and blocked: its IPv4 address, or the /64 of its IPv6 address."""

import hashlib
import socket
from contextlib import suppress
from functools import lru_cache

__all__ = ["client_bucket", "client_key"]

_LOOPBACK = bytes(15) + b"\x01"
_MAPPED = bytes(10) + b"\xff\xff"


def client_key(ip: str) -> str:
    """Return the IPv4 address itself, or the /64 of an IPv6 address, because one client has all of it.

    `::ffff:192.0.2.1` is 192.0.2.1, and `2001:db8::1%eth0` is 2001:db8::1. Raises ValueError for other text.
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


@lru_cache(1024)
def client_bucket(ip: str, key: bytes, buckets: int) -> int:
    """Return the bucket, of so many, in which a client is counted; other text than an address has one, too."""
    with suppress(ValueError):  # a client of the local socket has no address
        ip = client_key(ip)
    digest = hashlib.blake2b(ip.encode("ascii", "replace"), key=key, digest_size=4).digest()
    return int.from_bytes(digest, "little") % buckets

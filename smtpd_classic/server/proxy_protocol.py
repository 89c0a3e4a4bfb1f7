"""The PROXY protocol, versions 1 and 2: a load balancer's line with the real address of the client. No I/O.

https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt, section 2. All other input is refused:
behind a wrong guess a false address would be trusted.
"""

import ipaddress
import struct
from dataclasses import dataclass

__all__ = ["BadHeader", "ProxyHeader", "begins_header", "not_expected", "parse"]

_V1 = b"PROXY "
_V2 = b"\r\n\r\n\0\r\nQUIT\n"
_LONGEST_V1 = 107  # with its CR LF
_LONGEST_V2 = 16 + 2048  # room for extensions (TLVs) such as certificates' names; the addresses need 36
_FIXED_V2 = struct.Struct("!12sBBH")
_LOCAL, _PROXY = 0x20, 0x21
_TCP4, _TCP6 = 0x11, 0x21


class BadHeader(ValueError):
    """Raised when the input is no PROXY header. The text gives the reason for the log."""


@dataclass(frozen=True, slots=True)
class ProxyHeader:
    """The header is the first `length` octets. `ip` is blank when the balancer speaks for itself (a check)."""

    length: int
    ip: str
    port: int


def begins_header(received: bytes) -> bool:
    """Return True for the beginning of a header, at a listener that does not expect one."""
    return received.startswith((b"PROXY TCP", b"PROXY UNKNOWN", _V2))


def not_expected(client: str, ip: str, listener: str) -> str:
    """Return the line for the log that names the option which a load balancer in front of the listener needs."""
    return (
        f"{client} sent a PROXY header, which [listener {listener}] does not expect from it. If it is your load "
        f"balancer, set proxy_protocol = {ip} there"
    )


def parse(received: bytes) -> ProxyHeader | None:
    """Return the header at the start of `received`; None while it is incomplete. Raises BadHeader."""
    if received.startswith(_V2[: len(received)]):
        return _parse_v2(received)
    if received.startswith(_V1[: len(received)]):
        return _parse_v1(received)
    raise BadHeader("there is no PROXY header")


def _parse_v1(received: bytes) -> ProxyHeader | None:
    end = received.find(b"\r\n", 0, _LONGEST_V1)
    if end < 0:
        if len(received) >= _LONGEST_V1:
            raise BadHeader("the PROXY line is too long")
        return None
    words = received[:end].split(b" ")
    if words[:2] == [b"PROXY", b"UNKNOWN"]:
        return ProxyHeader(end + 2, "", 0)
    if len(words) != 6:
        raise BadHeader("the PROXY line does not have six words")
    version = {b"TCP4": 4, b"TCP6": 6}.get(words[1])
    if version is None:
        raise BadHeader("the PROXY line names neither TCP4 nor TCP6")
    _address(words[3], version)
    _port(words[5])
    return ProxyHeader(end + 2, _address(words[2], version), _port(words[4]))


def _address(word: bytes, version: int) -> str:
    try:
        address = ipaddress.ip_address(word.decode("ascii"))
    except ValueError:
        raise BadHeader("the PROXY line holds no valid address") from None
    if address.version != version or b"%" in word:
        raise BadHeader("the PROXY line holds an address of another family")
    return _text(address)


def _port(word: bytes) -> int:
    if not word.isdigit() or len(word) > 5 or int(word) > 65535 or (word[:1] == b"0" and word != b"0"):
        raise BadHeader("the PROXY line holds no valid port")
    return int(word)


def _parse_v2(received: bytes) -> ProxyHeader | None:
    if len(received) < _FIXED_V2.size:
        return None
    _, command, family, length = _FIXED_V2.unpack_from(received)
    if command not in {_LOCAL, _PROXY}:
        raise BadHeader("the PROXY header has an unknown version or command")
    whole = _FIXED_V2.size + length
    if whole > _LONGEST_V2:
        raise BadHeader("the PROXY header is too long")
    if len(received) < whole:
        return None
    if command == _LOCAL or family == 0:  # 0: UNSPEC, as UNKNOWN above
        return ProxyHeader(whole, "", 0)
    width = {_TCP4: 4, _TCP6: 16}.get(family)
    if width is None:
        raise BadHeader("the PROXY header is for another protocol than TCP")
    if length < 2 * width + 4:
        raise BadHeader("the PROXY header is too short for its addresses")
    start = _FIXED_V2.size
    source = ipaddress.ip_address(received[start : start + width])
    (port,) = struct.unpack_from("!H", received, start + 2 * width)
    return ProxyHeader(whole, _text(source), port)


def _text(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    """Return the address in its usual form; an IPv4-mapped address as IPv4."""
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)

"""The end of a certificate's validity, read from its DER, because the ssl module does not show our own certificate."""

import ssl
from datetime import UTC, datetime

__all__ = ["expiry"]

_SEQUENCE, _UTC_TIME, _GENERALIZED_TIME, _VERSION = 0x30, 0x17, 0x18, 0xA0


def expiry(pem: str) -> float:
    """Return the expiry of the first certificate in `pem`, as wall-clock time. Raises ValueError."""
    start, end = pem.find(ssl.PEM_HEADER), pem.find(ssl.PEM_FOOTER)
    if not 0 <= start < end:
        raise ValueError("no certificate")
    der = ssl.PEM_cert_to_DER_cert(pem[start : end + len(ssl.PEM_FOOTER)])
    # RFC 5280 4.1: Certificate { TBSCertificate { [0] version, serial, signature, issuer, validity { from, to } …
    _, certificate, _ = _element(der)
    _, rest, _ = _element(certificate)
    tag, _, after = _element(rest)
    if tag == _VERSION:
        rest = after
    for _ in range(3):
        _, _, rest = _element(rest)
    tag, validity, _ = _element(rest)
    if tag != _SEQUENCE:
        raise ValueError("no validity")
    _, _, to = _element(validity)
    return _time(to)


def _element(der: bytes) -> tuple[int, bytes, bytes]:
    """Return tag, content and the octets behind the element (X.690 8.1)."""
    if len(der) < 2:
        raise ValueError("too short")
    length, start = der[1], 2
    if length & 0x80:
        octets = length & 0x7F
        start += octets
        length = int.from_bytes(der[2:start], "big")
    if len(der) < start + length:
        raise ValueError("too short")
    return der[0], der[start : start + length], der[start + length :]


def _time(der: bytes) -> float:
    tag, content, _ = _element(der)
    text = content.decode("ascii")
    if tag == _UTC_TIME:  # RFC 5280 4.1.2.5.1: two digits of the year, 50 is 1950
        text = ("19" if text >= "5" else "20") + text
    elif tag != _GENERALIZED_TIME:
        raise ValueError("no time")
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC).timestamp()

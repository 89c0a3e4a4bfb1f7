"""What `sendmail` does to a header: recipients are read out of it, and Bcc is taken out of it."""

from smtpd_classic.headers import HeaderBlock
from smtpd_classic.submission.addresses import BadAddresses, addresses

__all__ = ["recipients_in", "without_bcc"]

_TO = (b"to", b"cc", b"bcc")
_RESENT = (b"resent-to", b"resent-cc", b"resent-bcc")
_HIDDEN = (b"bcc", b"resent-bcc")


def recipients_in(header: bytes) -> list[str]:
    """Of a message that is sent again (RFC 5322 3.6.6), those to whom it is. Raises BadAddresses."""
    block = HeaderBlock(header)
    names = _RESENT if any(block.has(name) for name in _RESENT) else _TO
    found: list[str] = []
    for name in names:
        for field in block.fields(name):
            value = block.raw[field.value : field.end].replace(b"\n", b"").decode("utf-8", "surrogateescape")
            try:
                found += addresses(value)
            except BadAddresses as problem:
                raise BadAddresses(f"{name.decode().title()}: {problem}") from None
    return found


def without_bcc(header: bytes) -> bytes:
    """Nobody must see who got a blind copy."""
    block = HeaderBlock(header)
    hidden = sorted((field.start, field.end) for name in _HIDDEN for field in block.fields(name))
    if not hidden:
        return header
    pieces: list[bytes] = []
    done = 0
    for start, end in hidden:
        pieces.append(header[done:start])
        done = end
    return b"".join([*pieces, header[done:]])

"""The header in `sendmail`: recipients are read out of it, Bcc is taken out of it, and addresses without a
domain get one. Everything else stays as it came.
"""

from smtpd_classic.message.headers import HeaderBlock
from smtpd_classic.submission.addresses import BadAddresses, addresses, find_addresses

__all__ = ["is_qualified", "recipients_in", "with_domain", "without_bcc"]

_TO = (b"to", b"cc", b"bcc")
_RESENT = (b"resent-to", b"resent-cc", b"resent-bcc")
_HIDDEN = (b"bcc", b"resent-bcc")
_FROM = (b"from", b"sender", b"reply-to", b"resent-from", b"resent-sender")
_WITH_ADDRESSES = (*_FROM, *_TO[:2], *_RESENT[:2])


def recipients_in(header: bytes) -> list[str]:
    """Return the recipients in To, Cc and Bcc, or in the Resent fields (RFC 5322 3.6.6). Raises BadAddresses."""
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
    """Remove the Bcc fields, so that no recipient sees the blind copies."""
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


def is_qualified(address: str) -> bool:
    """Return True if the address has a domain; one in quotes is none."""
    return "@" in (address[address.rfind('"') + 1 :] if address.startswith('"') else address)


def with_domain(header: bytes, domain: str) -> bytes:
    """Return the header with a domain in every address: cron writes “From: root”, and no server elsewhere takes that. A
    field that cannot be read stays as it is."""
    block = HeaderBlock(header)
    places: list[int] = []
    for name in _WITH_ADDRESSES:
        for field in block.fields(name):
            text = header[field.value : field.end].decode("latin-1")  # an octet is a character
            try:
                found = find_addresses(text)
            except BadAddresses:
                continue
            places += (field.value + each.end for each in found if not is_qualified(each.text))
    if not places:
        return header
    pieces: list[bytes] = []
    done = 0
    for place in sorted(places):
        pieces += [header[done:place], b"@", domain.encode()]
        done = place
    return b"".join([*pieces, header[done:]])

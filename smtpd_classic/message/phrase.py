"""A display name, and an address, in the form that a header takes."""

import re
from binascii import b2a_base64

from smtpd_classic.domain_name import ascii_address

__all__ = ["ascii_mailbox", "phrase"]

_ATOMS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~ -]*")
_WORD_OCTETS = 42  # encoded as base64 with its frame it stays within the 75 characters of RFC 2047 2


def phrase(text: str) -> bytes:
    """Return a phrase of RFC 5322 3.2.5, as encoded words (RFC 2047) unless it is ASCII.

    The text holds no control characters.
    """
    if _ATOMS.fullmatch(text):
        return text.encode("ascii")
    if text.isascii():
        bare = text[1:-1] if len(text) > 1 and text[0] == text[-1] == '"' else text
        return b'"' + bare.replace("\\", "\\\\").replace('"', '\\"').encode("ascii") + b'"'
    words: list[bytes] = [b""]
    for char in text:
        octets = char.encode("utf-8")
        if len(words[-1]) + len(octets) > _WORD_OCTETS:
            words.append(b"")
        words[-1] += octets
    return b"\n ".join(b"=?utf-8?b?" + b2a_base64(word, newline=False) + b"?=" for word in words)


def ascii_mailbox(address: str) -> str:
    """Return the address in angle brackets, or as the name of an empty group if it has no form in ASCII (RFC 6857)."""
    written = ascii_address(address)
    return f"<{written}>" if written.isascii() else f"{phrase(written).decode('ascii')}:;"

"""Encoded words (RFC 2047) in a header field, decoded for comparison; nothing here is written into a message."""

import binascii
import codecs
import re

__all__ = ["decoded", "text_in"]

_WORD = re.compile(r"=\?([A-Za-z0-9_.:+-]{1,40})(?:\*[A-Za-z0-9-]*)?\?([BbQq])\?([^?\s]*)\?=")
_BETWEEN = re.compile(r"(\?=)\s+(?==\?)")  # RFC 2047 6.2: white space between two encoded words is not shown
_SLOW = frozenset({"idna", "punycode"})  # no character sets; their time grows with the square of the length


def decoded(text: str) -> str:
    """Return the text with its encoded words decoded; one that cannot be decoded stays as it is."""
    return _WORD.sub(_one_word, _BETWEEN.sub(r"\1", text)) if "=?" in text else text


def _one_word(word: "re.Match[str]") -> str:
    raw = word[3].encode("ascii", "replace")
    try:
        if word[2] in "Bb":
            octets = binascii.a2b_base64(raw + b"=" * (-len(raw) % 4))
        else:
            octets = binascii.a2b_qp(raw, header=True)
        return text_in(octets, word[1])
    except (ValueError, LookupError):
        return word[0]


def text_in(octets: bytes, charset: str) -> str:
    """Return the text of octets in a character set that a message names. Raises ValueError or LookupError."""
    if codecs.lookup(charset).name in _SLOW:
        raise LookupError(charset)
    return octets.decode(charset, "replace")

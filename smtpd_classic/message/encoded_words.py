"""Encoded words (RFC 2047) in a header field, decoded for comparison; nothing here is written into a message."""

import binascii
import codecs
import re
from itertools import groupby

__all__ = ["decoded", "text_in"]

_WORD = re.compile(r"=\?([A-Za-z0-9_.:+-]{1,40})(?:\*[A-Za-z0-9-]*)?\?([BbQq])\?([^?\s]*)\?=")
_RUN = re.compile(f"(?:{_WORD.pattern})+")
_BETWEEN = re.compile(r"(\?=)\s+(?==\?)")  # RFC 2047 6.2: white space between two encoded words is not shown
# No character sets; the time of the first two grows with the square of the length.
_NO_CHARSETS = frozenset({"idna", "punycode", "unicode_escape", "raw_unicode_escape"})


def decoded(text: str) -> str:
    """Return the text with its encoded words decoded; one that cannot be decoded stays as it is."""
    return _RUN.sub(_words, _BETWEEN.sub(r"\1", text)) if "=?" in text else text


def _words(run: "re.Match[str]") -> str:
    """Return the text of adjacent words. Some programs cut a letter in two: words of a character set are decoded
    together.
    """
    found = [(word, _octets(word)) for word in _WORD.finditer(run[0])]
    same = groupby(found, lambda each: "" if each[1] is None else each[0][1].lower())
    return "".join([_joined(list(words), charset) for charset, words in same])


def _joined(words: "list[tuple[re.Match[str], bytes | None]]", charset: str) -> str:
    octets = b"".join([each or b"" for _, each in words])
    try:
        return text_in(octets, charset)
    except (ValueError, LookupError):
        return "".join([word[0] for word, _ in words])


def _octets(word: "re.Match[str]") -> bytes | None:
    """Return the octets of an encoded word; None if it cannot be decoded."""
    raw = word[3].encode("ascii", "replace")
    try:
        if word[2] in "Bb":
            return binascii.a2b_base64(raw + b"=" * (-len(raw) % 4))
        return binascii.a2b_qp(raw, header=True)
    except ValueError:
        return None


def text_in(octets: bytes, charset: str) -> str:
    """Return the text of octets in a character set that a message names. Raises ValueError or LookupError."""
    if codecs.lookup(charset).name.replace("-", "_") in _NO_CHARSETS:
        raise LookupError(charset)
    return octets.decode(charset, "replace")

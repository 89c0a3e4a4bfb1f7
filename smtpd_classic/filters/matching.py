"""The comparison of texts in filter rules: without regard to case, and with fields decoded (RFC 2047) and unfolded."""

import re
import unicodedata
from collections.abc import Callable, Iterable

from smtpd_classic.message.encoded_words import decoded

__all__ = ["TextMatch", "comparable", "shown_text", "text_match"]

TextMatch = Callable[[str], bool]

_LONGEST = 65_536
_COMPOSED_AT_ONCE = 512  # the time for combining characters grows with the square of their number


def shown_text(value: bytes) -> str:
    """Return the value of a header field as a mail program shows it."""
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError:
        text = value.decode("latin-1")
    return decoded(text)


def comparable(text: str) -> str:
    """Return the text in the form in which two that mean the same are equal."""
    text = text[:_LONGEST]
    if not text.isascii():
        text = " ".join(map(_composed, text.split()))
    return " ".join(text.casefold().split())


def _composed(word: str) -> str:
    """Return a word in the form NFC."""
    pieces = (word[at : at + _COMPOSED_AT_ONCE] for at in range(0, len(word), _COMPOSED_AT_ONCE))
    return "".join(unicodedata.normalize("NFC", each) for each in pieces)


def text_match(match: str, text: str) -> TextMatch:
    """Return the comparison of a value in its comparable form with the text of a rule."""
    wanted = comparable(text)
    if match == "is":
        return lambda value: value == wanted
    if match == "starts":
        return lambda value: value.startswith(wanted)
    if match == "ends":
        return lambda value: value.endswith(wanted)
    if match == "wildcard":
        expression = re.compile(_wildcard(wanted), re.DOTALL)
        return lambda value: expression.fullmatch(value) is not None
    return lambda value: wanted in value


def _wildcard(pattern: str) -> str:
    """Return a regular expression that needs no more than linear time for each star: a piece is found once."""
    first, *others = re.split(r"\*+", pattern)
    if not others:
        return _piece(first)
    middle = "".join(f"(?>.*?{_piece(each)})" for each in others[:-1])
    return f"{_piece(first)}{middle}.*{_piece(others[-1])}"


def _piece(text: Iterable[str]) -> str:
    return "".join("." if each == "?" else re.escape(each) for each in text)

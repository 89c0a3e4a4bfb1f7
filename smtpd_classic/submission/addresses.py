"""The addresses in To, Cc and Bcc, and on a command line (RFC 5322 3.4, 4.4): also those without a domain, which only
people of this machine may write.

One pass from left to right, without recursion.
"""

import re
from itertools import pairwise
from typing import NamedTuple

__all__ = ["Address", "BadAddresses", "addresses", "find_addresses"]

_TOKEN = re.compile(
    r'(?P<space>[ \t\r\n]+)|(?P<quoted>"(?:[^"\\]|\\.)*")|(?P<comment>\()|(?P<literal>\[(?:[^\[\]\\]|\\.)*\])'
    r'|(?P<special>[<>,;:@.])|(?P<atom>[^ \t\r\n"()\[\]<>,;:@.]+)',
    re.DOTALL,
)
_IN_COMMENT = re.compile(r"[()]|\\.", re.DOTALL)
_LONGEST = 320
_SHOWN = 60


class BadAddresses(ValueError):
    """Raised for a text that is no list of addresses; the text says why in half a sentence."""


class Address(NamedTuple):
    """`end` is where it ends in the text."""

    text: str
    end: int


def addresses(text: str) -> list[str]:
    """Return the addresses in a header field. Raises BadAddresses."""
    return [each.text for each in find_addresses(text)]


def find_addresses(text: str) -> list[Address]:
    """Return the addresses in a header field with their places. Raises BadAddresses."""
    reader = _AddressParser()
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise BadAddresses(f"a quotation, bracket or comment has no end or no beginning: {_shown(text[at:])}")
        at = match.end()
        if match.lastgroup == "comment":
            at = _comment_end(text, match.start())
        elif match.lastgroup != "space":
            reader.take(_AddressToken(match[0], at, match.lastgroup == "special"))
    reader.finish()
    return reader.found


def _comment_end(text: str, start: int) -> int:
    depth = 0
    for match in _IN_COMMENT.finditer(text, start):
        depth += {"(": 1, ")": -1}.get(match[0], 0)
        if depth == 0:
            return match.end()
    raise BadAddresses(f"a comment has no end: {_shown(text[start:])}")


def _shown(text: str) -> str:
    return "“" + "".join(char if char.isprintable() else "?" for char in text[:_SHOWN]) + "”"


class _AddressToken(NamedTuple):
    text: str
    end: int
    special: bool


class _AddressParser:
    """`words` are those outside of angle brackets, `inside` those within; `open` while the bracket is."""

    __slots__ = ("_inside", "_open", "_words", "found")

    def __init__(self) -> None:
        self.found: list[Address] = []
        self._words: list[_AddressToken] = []
        self._inside: list[_AddressToken] | None = None
        self._open = False

    def take(self, token: _AddressToken) -> None:
        sign = token.text if token.special else ""
        if self._open and self._inside is not None:
            self._take_inside(token, sign)
        elif sign in {",", ";"}:
            self.finish()
        elif sign == ":":
            self._words.clear()  # the name of a group (RFC 5322 3.4)
        elif sign == "<":
            if self._inside is not None:
                raise BadAddresses(f"two addresses without a comma: {_shown(_text(self._inside))}")
            self._inside, self._open = [], True
        elif sign == ">":
            raise BadAddresses("an angle bracket has no beginning")
        else:
            self._words.append(token)

    def _take_inside(self, token: _AddressToken, sign: str) -> None:
        assert self._inside is not None
        if sign == ">":
            self._open = False
        elif sign in {"<", ",", ";"}:
            raise BadAddresses(f"an angle bracket has no end: {_shown('<' + _text(self._inside))}")
        else:
            self._inside.append(token)

    def finish(self) -> None:
        """End the mailbox; an empty one counts for nothing (RFC 5322 4.4). Raises BadAddresses."""
        words, inside = self._words, self._inside
        if self._open:
            raise BadAddresses(f"an angle bracket has no end: {_shown('<' + _text(inside or []))}")
        self._words, self._inside = [], None
        if inside is None:
            inside = words
        elif inside and inside[0].text == "@":
            # A source route (RFC 5322 4.4): the address is behind its colon.
            colon = next((number for number, token in enumerate(inside) if token.text == ":"), -1)
            inside = inside[colon + 1 :]
        if inside:
            self.found.append(_joined(inside))


def _text(tokens: list[_AddressToken]) -> str:
    return "".join(token.text for token in tokens)


def _joined(tokens: list[_AddressToken]) -> Address:
    """Return the address in its tokens, in which words and signs must alternate. Raises BadAddresses."""
    address = _text(tokens)
    for one, other in pairwise(tokens):
        if not (one.special or other.special):
            raise BadAddresses(f"two words without a comma: {_shown(one.text + ' ' + other.text)}")
    if len(address) > _LONGEST or not address.isprintable():
        raise BadAddresses(f"an address is too long, or not all of it can be printed: {_shown(address)}")
    return Address(address, tokens[-1].end)

"""The addresses in To, Cc and Bcc, and on a command line (RFC 5322 3.4, 4.4): also those without a domain, which only
people of this machine may write.

One pass from left to right, without recursion.
"""

import re
from itertools import pairwise

__all__ = ["BadAddresses", "addresses"]

_TOKEN = re.compile(
    r'(?P<space>[ \t\r\n]+)|(?P<quoted>"(?:[^"\\]|\\.)*")|(?P<comment>\()|(?P<literal>\[(?:[^\[\]\\]|\\.)*\])'
    r'|(?P<special>[<>,;:@.])|(?P<atom>[^ \t\r\n"()\[\]<>,;:@.]+)',
    re.DOTALL,
)
_IN_COMMENT = re.compile(r"[()]|\\.", re.DOTALL)
_LONGEST = 320
_SHOWN = 60


class BadAddresses(ValueError):
    """What is no list of addresses; the text says why in half a sentence."""


def addresses(text: str) -> list[str]:
    """Raises BadAddresses."""
    reader = _Reader()
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise BadAddresses(f"a quotation, bracket or comment has no end or no beginning: {_shown(text[at:])}")
        at = match.end()
        if match.lastgroup == "comment":
            at = _comment_end(text, match.start())
        elif match.lastgroup != "space":
            reader.take(match[0], special=match.lastgroup == "special")
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


class _Reader:
    """`words` are those outside of angle brackets, `inside` those within; `open` while the bracket is."""

    __slots__ = ("_inside", "_open", "_words", "found")

    def __init__(self) -> None:
        self.found: list[str] = []
        self._words: list[str] = []
        self._inside: list[str] | None = None
        self._open = False

    def take(self, piece: str, *, special: bool) -> None:
        if self._open and self._inside is not None:
            if piece == ">":
                self._open = False
            elif special and piece in "<,;":
                raise BadAddresses(f"an angle bracket has no end: {_shown('<' + ''.join(self._inside))}")
            else:
                self._inside.append(piece)
        elif special and piece in ",;":
            self.finish()
        elif special and piece == ":":
            self._words.clear()  # the name of a group (RFC 5322 3.4)
        elif special and piece == "<":
            if self._inside is not None:
                raise BadAddresses(f"two addresses without a comma: {_shown(''.join(self._inside))}")
            self._inside, self._open = [], True
        elif special and piece == ">":
            raise BadAddresses("an angle bracket has no beginning")
        else:
            self._words.append(piece)

    def finish(self) -> None:
        """The mailbox ends here; an empty one is nothing (RFC 5322 4.4)."""
        words, inside = self._words, self._inside
        if self._open:
            raise BadAddresses(f"an angle bracket has no end: {_shown('<' + ''.join(inside or ()))}")
        self._words, self._inside = [], None
        if inside is None:
            inside = words
        elif inside[:1] == ["@"] and ":" in inside:
            inside = inside[inside.index(":") + 1 :]  # a source route, RFC 5322 4.4
        if inside:
            self.found.append(_joined(inside))


def _joined(tokens: list[str]) -> str:
    """The address in its tokens, where words and signs must alternate."""
    address = "".join(tokens)
    for one, other in pairwise(tokens):
        if not (one in "@.:" or other in "@.:"):
            raise BadAddresses(f"two words without a comma: {_shown(one + ' ' + other)}")
    if len(address) > _LONGEST or not address.isprintable():
        raise BadAddresses(f"an address is too long, or not all of it can be printed: {_shown(address)}")
    return address

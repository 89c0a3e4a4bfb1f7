"""The addresses in a From, Sender or Reply-To field, each with the place where it stands (RFC 5322 3.4 and 4.4).

One pass from left to right without recursion, over a value of bounded length: comments may nest as deep as they like.
A field that two readers could understand differently is `Unreadable`: an unclosed quotation or comment, two angle
addresses in one mailbox, something behind an angle address. The usual field, one address alone or behind a display
name, is read by one expression, with the same result.
"""

import re
from typing import NamedTuple

from smtpd_classic.smtp.address import parse_address

__all__ = ["Mailbox", "Unreadable", "comment_end", "mailboxes"]

_LONGEST = 65_536
_TOKEN = re.compile(
    rb'(?P<space>[ \t\n]+)|(?P<quoted>"(?:[^"\\]|\\[\x00-\xff])*")|(?P<comment>\()'
    rb"|(?P<literal>\[(?:[^\[\]\\]|\\[\x00-\xff])*\])|(?P<special>[<>,;:@.])|(?P<atom>[^ \t\n\"()\[\]<>,;:@.\\]+)"
)
# A display name and “<”, the address, “>”. Possessive, so that a name of many words takes no longer than it is long.
_USUAL = re.compile(
    rb'[ \t\n]*+((?:(?:[^ \t\n"()\[\]<>,;:@\\]++|"[^"\\]*+")[ \t\n]*+)*+<)?'
    rb"([\w!#$%&'*+/=?^`{|}~-]++(?:\.[\w!#$%&'*+/=?^`{|}~-]++)*+@[A-Za-z0-9-]++(?:\.[A-Za-z0-9-]++)*+)(>)?[ \t\n]*+"
)
_IN_COMMENT = re.compile(rb"[()]|\\[\x00-\xff]")


class Unreadable(ValueError):
    """Raised for a value that is no list of mailboxes, or that readers would understand in different ways."""


class Mailbox(NamedTuple):
    """An address in its canonical form and its place.

    `value[start:end]` is the address as written, `value[outer:outer_end]` the mailbox with its display name and angle
    brackets. `named` tells that there is a display name or at least the brackets.
    """

    address: str
    start: int
    end: int
    outer: int
    outer_end: int
    named: bool


class _Token(NamedTuple):
    kind: str
    text: bytes
    start: int
    end: int


def comment_end(value: bytes, start: int) -> int:
    """Return the end of the comment that begins at `start`. Raises Unreadable."""
    depth = 0
    for match in _IN_COMMENT.finditer(value, start):
        depth += {b"(": 1, b")": -1}.get(match[0], 0)
        if depth == 0:
            return match.end()
    raise Unreadable("a comment is not closed")


def _tokens(value: bytes) -> list[_Token]:
    """Return the tokens without white space and comments."""
    tokens: list[_Token] = []
    at = 0
    while at < len(value):
        match = _TOKEN.match(value, at)
        if match is None:
            raise Unreadable("a quotation is not closed, or there is a character that does not belong there")
        kind = match.lastgroup or ""
        if kind == "comment":
            at = comment_end(value, at)
            continue
        at = match.end()
        if kind != "space":
            text = match[0]
            tokens.append(_Token(text.decode("ascii") if kind == "special" else kind, text, match.start(), at))
    return tokens


def _address(tokens: list[_Token]) -> str:
    """Return the canonical address of an addr-spec, made of parts that alternate with dots (RFC 5322 3.4.1, 4.4)."""
    signs = [number for number, token in enumerate(tokens) if token.kind == "@"]
    if len(signs) != 1:
        raise Unreadable("an address has no “@”, or more than one")
    local, domain = tokens[: signs[0]], tokens[signs[0] + 1 :]
    for part, kinds in ((local, {"atom", "quoted"}), (domain, {"atom", "literal"})):
        dotted = all((token.kind == ".") == bool(number % 2) for number, token in enumerate(part))
        if len(part) % 2 == 0 or not dotted or any(token.kind not in kinds for token in part[::2]):
            raise Unreadable("an address has white space or other characters inside")
    return _parsed(b"".join(token.text for token in tokens).replace(b"\n", b""))


def _parsed(text: bytes) -> str:
    try:
        return parse_address(text.decode(), utf8=True)
    except ValueError as problem:  # BadAddress, or no UTF-8
        raise Unreadable(f"an address is none: {problem}") from None


def _without_route(tokens: list[_Token]) -> list[_Token]:
    """Return an addr-spec without its route, as in `<@one,@two:local@domain>` (RFC 5322 4.4)."""
    if tokens and tokens[0].kind == "@":
        colons = [number for number, token in enumerate(tokens) if token.kind == ":"]
        return tokens[colons[0] + 1 :] if colons else tokens
    return tokens


class _MailboxParser:
    """A reader of mailboxes, and the parts of the current one."""

    __slots__ = ("closed", "found", "in_group", "inside", "opened", "outside")

    def __init__(self) -> None:
        self.found: list[Mailbox] = []
        self.outside: list[_Token] = []
        self.inside: list[_Token] | None = None
        self.opened = self.closed = -1
        self.in_group = False

    def take(self, token: _Token) -> None:
        if self.inside is not None and self.closed < 0:
            self._take_inside(token)
        elif token.kind == "<":
            if self.inside is not None:
                raise Unreadable("a mailbox has two addresses in angle brackets")
            self.inside, self.opened = [], token.start
        elif token.kind == ",":
            self.finish()
        elif token.kind == ":":
            self._open_group()
        elif token.kind == ";":
            if not self.in_group:
                raise Unreadable("there is a “;” outside of a group")
            self.finish()
            self.in_group = False
        elif token.kind == ">" or self.inside is not None:
            raise Unreadable("something stands behind an address in angle brackets")
        else:
            self.outside.append(token)

    def _take_inside(self, token: _Token) -> None:
        assert self.inside is not None
        if token.kind == ">":
            self.closed = token.end
        elif token.kind == "<":
            raise Unreadable("an angle bracket is opened twice")
        else:
            self.inside.append(token)

    def _open_group(self) -> None:
        if self.in_group or not self.outside or any(token.kind == "@" for token in self.outside):
            raise Unreadable("there is a “:” where no group begins")
        self.outside.clear()
        self.in_group = True

    def finish(self) -> None:
        """End the mailbox; an empty one is left out (RFC 5322 4.4)."""
        outside, inside = self.outside, self.inside
        if inside is not None:
            if self.closed < 0:
                raise Unreadable("an angle bracket is not closed")
            if any(token.kind == "@" for token in outside):
                # Some readers take the address out of an unquoted display name: it counts as one more.
                self._add(outside, outside[0].start, outside[-1].end, named=False)
            spec = _without_route(inside)
            self._add(spec, outside[0].start if outside else self.opened, self.closed, named=True)
        elif outside:
            self._add(outside, outside[0].start, outside[-1].end, named=False)
        self.outside, self.inside, self.opened, self.closed = [], None, -1, -1

    def _add(self, spec: list[_Token], outer: int, outer_end: int, *, named: bool) -> None:
        address = _address(spec)
        self.found.append(Mailbox(address, spec[0].start, spec[-1].end, outer, outer_end, named))


def _usual_mailbox(found: re.Match[bytes]) -> Mailbox:
    start, end = found.span(2)
    if found[1] is None:
        return Mailbox(_parsed(found[2]), start, end, start, end, named=False)
    return Mailbox(_parsed(found[2]), start, end, found.start(1), found.end(3), named=True)


def mailboxes(value: bytes, longest: int = _LONGEST) -> list[Mailbox]:
    """Return the mailboxes of a field's value, those inside groups too. Raises Unreadable."""
    if len(value) > longest:
        raise Unreadable("the field is too long")
    usual = _USUAL.fullmatch(value)
    if usual is not None and (usual[1] is None) == (usual[3] is None):
        return [_usual_mailbox(usual)]
    reader = _MailboxParser()
    for token in _tokens(value):
        reader.take(token)
    if reader.inside is not None and reader.closed < 0:
        raise Unreadable("an angle bracket is not closed")
    reader.finish()
    return reader.found

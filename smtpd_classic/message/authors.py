"""The addresses in a From or Sender field as any reader may see them, for a field of any form.

`mailboxes` reads the fields that the grammar allows and refuses the rest. Real programs write more: an unquoted comma
or “@” in a display name, a “;” at the end, a backslash, a dot behind the domain, a local part alone. This reader finds
every address that a field shows, so that a sender with one address plain to see is not refused for the form of it.

Rule 1: an address that a reader could take for the author is in `addresses` or in `display_names`; if that is in doubt,
the field is Unreadable.
Rule 2: one pass from left to right, over a value of bounded length.
"""

import re
import unicodedata
from collections.abc import Iterator
from typing import NamedTuple

from smtpd_classic.message.encoded_words import decoded
from smtpd_classic.message.headers import HeaderBlock
from smtpd_classic.message.mailboxes import Unreadable, comment_end
from smtpd_classic.smtp.address import BadAddress, parse_address

__all__ = ["Author", "Authors", "complete", "read_authors"]

_LONGEST = 65_536
_TOKEN = re.compile(
    rb'(?P<quoted>"(?:[^"\\]|\\[\x00-\xff])*+")|(?P<comment>\()'
    rb'|(?P<angle><(?:"(?:[^"\\]|\\[\x00-\xff])*+"|[^<>"])*+>)|(?P<literal>\[[^\[\]\\]*+\])'
    rb"|(?P<end>[,;])|(?P<group>:)|(?P<text>[^\"(<,;:\[]++)|(?P<other>[\x00-\xff])"
)
_UNQUOTED_TOKEN = re.compile(
    rb"(?P<comment>\()|(?P<angle><[^<>]*+>)|(?P<literal>\[[^\[\]\\]*+\])"
    rb"|(?P<end>[,;])|(?P<group>:)|(?P<text>[^(<,;:\[]++)|(?P<other>[\x00-\xff])"
)
_REVERSED_LOCAL = re.compile(r"[^\s\"(),:;<>@\[\]\\]{1,128}")
_DOMAIN = re.compile(r"(?:[\w-]{1,63}\.){1,20}[\w-]{0,62}[^\W_]")
_BARE = re.compile(rb"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_AT = ord("@")
_BARE_ANGLE = re.compile(rb"<[^<>@]+>")
_ESCAPE = re.compile(rb"\\([\x00-\xff])")
_PIECE = re.compile(
    r"[\x00-\x7f]*+[^\x00-\x7f]{0,128}+"
)  # the time of normalization grows with the square of the length
_SPACE = b" \t\n\r"
_PUNCTUATION = "!#$%&'*+-./=?^`{|}~"


class _Token(NamedTuple):
    kind: str
    start: int
    text: bytes


def _tokens(value: bytes) -> Iterator[_Token]:
    """Yield the tokens of a value; a comment that is not closed reaches to the end."""
    at, pattern = 0, _TOKEN
    while at < len(value):
        match = pattern.match(value, at)
        assert match is not None  # `other` takes any octet
        kind, end = match.lastgroup or "", match.end()
        if kind == "comment":
            try:
                end = comment_end(value, at)
            except Unreadable:
                end = len(value)
        elif kind == "other" and match[0] == b'"':
            pattern = _UNQUOTED_TOKEN  # the quotation is not closed, and no later one can be
        yield _Token(kind, at, value[at:end])
        at = end


class Author(NamedTuple):
    """One address; `value[start:end]` is the text it was read from. Without a domain the address is `bare`."""

    address: str
    start: int
    end: int

    @property
    def bare(self) -> bool:
        return "@" not in self.address


class Authors(NamedTuple):
    """The addresses of a field, and those that stand in display names and comments."""

    addresses: tuple[Author, ...]
    display_names: tuple[str, ...]


class _Piece(NamedTuple):
    """The text between two separators, outside of angle brackets and comments."""

    start: int
    end: int
    text: bytes


def read_authors(value: bytes) -> Authors:
    """Return all addresses of a field's value. Raises Unreadable when an address is there that cannot be read."""
    if len(value) > _LONGEST:
        raise Unreadable("the field is too long")
    scan = _Scan(value)
    scan.run()
    return scan.authors()


class _Scan:
    """The parts of one value: angle brackets, text outside of them, and text that is only shown."""

    def __init__(self, value: bytes) -> None:
        self._value = value
        self._angles: list[_Piece] = []
        self._pieces: list[_Piece] = []
        self._shown: list[bytes] = []
        self._text: list[bytes] = []
        self._start = -1
        self._end = 0

    def run(self) -> None:
        for kind, start, text in _tokens(self._value):
            if kind == "comment":
                self._shown.append(text)
            elif kind == "angle":
                self._angles.append(_Piece(start, start + len(text), text[1:-1]))
                self._text.append(b" ")
            elif kind == "end":
                self._close()
            elif kind == "group":  # a group's name in front of it is no address
                self._shown.append(b"".join(self._text))
                self._text, self._start = [], -1
            else:
                self._take(start, text)
        self._close()

    def _take(self, start: int, text: bytes) -> None:
        self._text.append(text)
        if not text.strip(_SPACE):
            return
        if self._start < 0:
            self._start = start + len(text) - len(text.lstrip(_SPACE))
        self._end = start + len(text.rstrip(_SPACE))

    def _close(self) -> None:
        if self._start >= 0:
            self._pieces.append(_Piece(self._start, self._end, b"".join(self._text)))
        self._text, self._start = [], -1

    def authors(self) -> Authors:
        shown = [_plain(text) for text in self._shown]
        addresses = [author for angle in self._angles if (author := _in_angle(angle)) is not None]
        if addresses:
            for piece in self._pieces:
                shown += [_plain(piece.text), _joined(piece.text)]
        else:
            addresses, names = self._without_angles()
            shown += names
        found = dict.fromkeys(address for text in shown for address in _addresses_in(text))
        return Authors(tuple(addresses), tuple(found))

    def _without_angles(self) -> tuple[list[Author], list[str]]:
        addresses: list[Author] = []
        names: list[str] = []
        for piece in self._pieces:
            if (address := _parsed(_compact(piece.text))) is not None:
                addresses.append(Author(address, piece.start, piece.end))
                continue
            text = _plain(piece.text)
            if sum(1 for _ in _addresses_in(text)) < text.count("@"):
                raise Unreadable(f"“{text.strip()[:80]}” is no address")
            names.append(text)
        if not addresses and len(self._pieces) == 1 and _BARE.fullmatch(self._pieces[0].text.strip(_SPACE)):
            only = self._pieces[0]
            addresses.append(Author(only.text.strip(_SPACE).decode("ascii"), only.start, only.end))
        return addresses, names


def _in_angle(angle: _Piece) -> Author | None:
    """The address in angle brackets; None for empty ones."""
    text = _compact(angle.text)
    if text.startswith(b"@") and b":" in text:  # RFC 5322 4.4: `<@one,@two:local@domain>`
        text = text.partition(b":")[2]
    if not text:
        return None
    start = angle.start + 1 + len(angle.text) - len(angle.text.lstrip(_SPACE))
    end = angle.start + 1 + len(angle.text.rstrip(_SPACE))
    if _BARE.fullmatch(text):
        return Author(text.decode("ascii"), start, end)
    address = _parsed(text)
    if address is None:
        raise Unreadable(f"“{angle.text.decode('utf-8', 'replace')[:80]}” is no address")
    return Author(address, start, end)


def _parsed(text: bytes) -> str | None:
    try:
        return parse_address(text.decode(), utf8=True)
    except (BadAddress, UnicodeDecodeError):
        return None


def _addresses_in(text: str) -> Iterator[str]:
    """Yield the addresses within a text, as a reader would see them."""
    at = text.find("@")
    while at >= 0:
        local = _REVERSED_LOCAL.match(text[max(0, at - 128) : at][::-1])
        domain = _DOMAIN.match(text, at + 1)
        if local is not None and domain is not None and (name := local[0][::-1].lstrip(_PUNCTUATION)):
            yield f"{name}@{domain[0]}"
        at = text.find("@", at + 1)


def _compact(text: bytes) -> bytes:
    """Without white space and comments outside of quotation marks, and without backslashes there."""
    return b"".join(
        token.text if token.kind == "quoted" else b"".join(token.text.replace(b"\\", b"").split())
        for token in _tokens(text)
        if token.kind != "comment"
    )


def _plain(text: bytes) -> str:
    """The text as a reader shows it: without quotation marks and backslashes, encoded words decoded."""
    bare = _ESCAPE.sub(rb"\1", text.replace(b"\n", b"")).replace(b'"', b"")
    shown = decoded(bare.decode("utf-8", "replace"))
    if not shown.isascii():
        normal = "".join([unicodedata.normalize("NFKC", piece) for piece in _PIECE.findall(shown)])
        shown = "".join([char for char in normal if char.isascii() or unicodedata.category(char) != "Cf"])
    return shown.replace('"', "")


def _joined(text: bytes) -> str:
    """An address that is written with white space around its “@” and dots (RFC 5322 4.4), blank when there is none."""
    return _parsed(_compact(text)) or ""


def complete(block: HeaderBlock, domain: str) -> bytes:
    """Return the header block with the domain behind every From and Sender that is a local part alone."""
    raw = block.raw
    places: list[int] = []
    for name in filter(block.has, (b"from", b"sender")):
        for field in block.fields(name):
            value = raw[field.value : field.end]
            if _AT in value and not _BARE_ANGLE.search(value):
                continue
            try:
                places += (field.value + each.end for each in read_authors(value).addresses if each.bare)
            except Unreadable:
                continue
    for place in sorted(places, reverse=True):
        raw = raw[:place] + b"@" + domain.encode() + raw[place:]
    return raw

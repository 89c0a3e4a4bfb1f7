"""UTF-8 in header fields for a server that takes ASCII alone (without SMTPUTF8, RFC 6531).

Display names, comments and text become encoded words (RFC 2047), parameters take the form of RFC 2231, and domains the
form of DNS. Text without a form in ASCII, such as a local part, raises `CannotDowngrade`.
"""

import re
from urllib.parse import quote

from smtpd_classic.domain_name import ascii_domain
from smtpd_classic.message.headers import HeaderBlock, HeaderField
from smtpd_classic.message.mailboxes import Unreadable, mailboxes
from smtpd_classic.message.phrase import phrase

__all__ = ["CannotDowngrade", "ascii_header"]

_ADDRESSES = {b"from", b"sender", b"reply-to", b"to", b"cc", b"bcc"}
_ADDRESSES |= {b"resent-" + name for name in _ADDRESSES}
_WITH_PARAMETERS = {b"content-type", b"content-disposition"}
_NAME = re.compile(rb"[!-9;-~]+[ \t]*:")
_TOKEN = rb'(?:"(?:[^"\\]|\\[\x00-\xff])*+"|[^\s"(),:;<>@\[\]\\]++)'
_PHRASE = re.compile(_TOKEN + rb"(?:[ \t\n]+" + _TOKEN + rb")*+")
_SPACE = re.compile(rb"(\s+)")
_PARAMETER = re.compile(rb';\s*([A-Za-z0-9_-]+)\*?=("(?:[^"\\]|\\[\x00-\xff])*+"|[^\s;"]+)')
_FOR = re.compile(rb"\s+for\s+<[^>]*[\x80-\xff][^>]*>")
_ESCAPE = re.compile(rb"\\([\x00-\xff])")


class CannotDowngrade(Exception):
    """Raised when the message has no form that the host takes; `str()` gives the reason, for the sender."""


def ascii_header(header: bytes) -> bytes:
    """Return the header block with all its fields in ASCII. Raises CannotDowngrade."""
    if header.isascii():
        return header
    block = HeaderBlock(header)
    pieces: list[bytes] = []
    done = 0
    for field in _fields(block):
        value = header[field.value : field.end]
        if value.isascii():
            continue
        pieces += [header[done : field.value], _ascii_value(field.name, value)]
        done = field.end
    made = b"".join([*pieces, header[done:]])
    if not made.isascii():
        raise CannotDowngrade("a header line is no field and holds characters outside ASCII")
    return made


def _fields(block: HeaderBlock) -> list[HeaderField]:
    names = {match[0].rstrip(b": \t").lower() for line in block.raw.split(b"\n") if (match := _NAME.match(line))}
    return sorted((field for name in names for field in block.fields(name)), key=lambda field: field.start)


def _ascii_value(name: bytes, value: bytes) -> bytes:
    try:
        value.decode()
    except UnicodeDecodeError:
        shown = name.decode("ascii").title()
        raise CannotDowngrade(f"its {shown} field holds characters in an unknown charset") from None
    if name in _ADDRESSES:
        return _address_field(name, value)
    if name in _WITH_PARAMETERS:
        value = _PARAMETER.sub(_parameter, value)
    elif name == b"received":
        value = _FOR.sub(b"", value)
    return _text(value)


def _text(value: bytes) -> bytes:
    """Return free text with its words outside ASCII encoded; neighbours are encoded together (RFC 2047 6.2)."""
    pieces: list[bytes] = []
    run: list[bytes] = []  # words to be encoded together, each with the white space behind it
    words = _SPACE.split(value)
    for word, space in zip(words[::2], [*words[1::2], b""], strict=True):
        if not word.isascii():
            run += [word, space]
            continue
        pieces += [*_encoded_run(run), word, space]
        run = []
    return b"".join([*pieces, *_encoded_run(run)])


def _encoded_run(run: list[bytes]) -> list[bytes]:
    return [_encoded(b"".join(run)), run[-1]] if run else []


def _address_field(name: bytes, value: bytes) -> bytes:
    try:
        found = mailboxes(value)
    except Unreadable as problem:
        raise CannotDowngrade(f"its {name.decode().title()} field cannot be converted: {problem}") from None
    pieces: list[bytes] = []
    done = 0
    for mailbox in sorted(found, key=lambda each: each.start):
        if mailbox.start < done:  # an address within a display name, which has been converted as a whole
            continue
        pieces += [
            _PHRASE.sub(_phrase, value[done : mailbox.start]),
            _ascii_address(value[mailbox.start : mailbox.end]),
        ]
        done = mailbox.end
    return b"".join([*pieces, _PHRASE.sub(_phrase, value[done:])])


def _ascii_address(address: bytes) -> bytes:
    local, at, domain = address.rpartition(b"@")
    if not local.isascii():
        raise CannotDowngrade(f"it holds the address {address.decode()}, which needs SMTPUTF8")
    try:
        return address if address.isascii() else local + at + ascii_domain(domain.decode().strip()).encode("ascii")
    except ValueError:
        raise CannotDowngrade(f"it holds the address {address.decode()}, which has no form in ASCII") from None


def _phrase(found: "re.Match[bytes]") -> bytes:
    if found[0].isascii():
        return found[0]
    unquoted = re.sub(_TOKEN, lambda token: _unquoted(token[0]), found[0])
    return _encoded(unquoted)


def _unquoted(token: bytes) -> bytes:
    return _ESCAPE.sub(rb"\1", token[1:-1]) if token.startswith(b'"') else token


def _encoded(text: bytes) -> bytes:
    return phrase(" ".join(text.decode().split()))


def _parameter(found: "re.Match[bytes]") -> bytes:
    if found[0].isascii():
        return found[0]
    return b";\n " + found[1] + b"*=utf-8''" + quote(_unquoted(found[2]), safe="").encode("ascii")

"""A message in a form that a host takes: 7-bit text (RFC 6152 3), ASCII in header fields, lines of at most 998 octets.

Only the parts that need it are encoded. The structure is read as bytes, with bounds on depth and number. A message that
an encoding would spoil (a signature over it, a field in an unknown charset) raises `CannotDowngrade`: the sender is
notified, and the text is not mangled.
"""

import binascii
import io
import re
from collections.abc import Iterator
from typing import NamedTuple

from smtpd_classic.client.ascii_header import CannotDowngrade, ascii_header
from smtpd_classic.client.content import has_long_line
from smtpd_classic.message.headers import HeaderBlock, end_of_header_block

__all__ = ["CannotDowngrade", "ContentLimits", "converted", "converted_notice", "quoting_header"]

_MAX_SIZE = 64 * 1024**2
_MAX_DEPTH = 16
_MAX_PARTS = 1000
_EIGHT_BIT = re.compile(rb"[\x80-\xff]")
_PARAMETER = re.compile(rb';\s*boundary\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;"]+))', re.IGNORECASE)
_HEADER_PART = (
    b"Content-Type: text/rfc822-headers\nContent-Transfer-Encoding: 8bit\n"
    b"Content-Description: Headers of your message\n\n"
)
_SEALED = {b"multipart/signed", b"multipart/encrypted"}


class ContentLimits(NamedTuple):
    """The restrictions of a host: ASCII alone in bodies, ASCII alone in header fields, no line over 998 octets."""

    seven_bit: bool = False
    ascii_header: bool = False
    short_lines: bool = False

    def fit(self, body: bytes) -> bool:
        return not (self.seven_bit and not body.isascii()) and not (self.short_lines and has_long_line(body))


class _Budget:
    def __init__(self) -> None:
        self.parts = 0

    def take(self, depth: int) -> None:
        self.parts += 1
        if depth > _MAX_DEPTH or self.parts > _MAX_PARTS:
            raise CannotDowngrade("the message has too many parts to be converted")


class _Entity(NamedTuple):
    header: bytes
    body: bytes
    media_type: bytes
    boundary: bytes


def converted(content: bytes, limits: ContentLimits) -> bytes:
    """Return the message (LF line ends) within these limits. Raises CannotDowngrade."""
    if len(content) > _MAX_SIZE:
        raise CannotDowngrade("the message is too large to be converted")
    return _converted(content, limits, 0, _Budget())


def converted_notice(content: bytes, limits: ContentLimits) -> bytes:
    """Return a notice of ours (RFC 3464) within these limits. If the message that it quotes has no form in them, it
    quotes the header alone, for which quoted-printable is allowed (RFC 6522 4). Raises CannotDowngrade for other mail.
    """
    try:
        return converted(content, limits._replace(ascii_header=True))
    except CannotDowngrade:
        return converted(quoting_header(content), limits)


def quoting_header(content: bytes) -> bytes:
    """Return a notice with the header of the message in its last part in place of that message."""
    mark = b"\n--" + _entity(content).boundary
    *others, last = content.split(mark + b"\n", 3)
    if len(others) < 3:
        return content
    quoted = _entity(last.removesuffix(mark + b"--\n")).body
    return b"".join([*(each + mark + b"\n" for each in others), _HEADER_PART, _entity(quoted).header, mark, b"--\n"])


def _entity(content: bytes) -> _Entity:
    end = end_of_header_block(content)
    header, body = (content, b"") if end < 0 else (content[:end], content[end + 1 :])
    value = HeaderBlock(header).first(b"content-type")
    found = _PARAMETER.search(value)
    boundary = b"" if found is None else re.sub(rb"\\(.)", rb"\1", found[1]) if found[1] is not None else found[2]
    return _Entity(header, body, value.partition(b";")[0].strip().lower(), boundary)


def _converted(content: bytes, limits: ContentLimits, depth: int, budget: _Budget) -> bytes:
    budget.take(depth)
    if content.isascii() and not (limits.short_lines and has_long_line(content)):
        return content
    entity = _entity(content)
    rest = content[len(entity.header) :]
    if limits.ascii_header:
        entity = entity._replace(header=ascii_header(entity.header))
    elif limits.seven_bit and not entity.header.isascii():
        raise CannotDowngrade("a header field holds characters outside ASCII")
    if limits.fit(entity.body):
        return entity.header + rest
    return _with_body(entity, limits, depth, budget)


def _with_body(entity: _Entity, limits: ContentLimits, depth: int, budget: _Budget) -> bytes:
    if entity.media_type in _SEALED:
        raise CannotDowngrade("it is signed or encrypted, and a conversion would break that")
    header = entity.header if depth else _with_mime_version(entity)
    unmarked = _encoded(header, b"7bit") if limits.seven_bit else header
    if entity.media_type.startswith(b"multipart/"):
        return unmarked + b"\n" + _multipart(entity, limits, depth, budget)
    if entity.media_type in {b"message/rfc822", b"message/global"}:
        return unmarked + b"\n" + _converted(entity.body, limits, depth + 1, budget)
    if entity.media_type.startswith(b"message/"):
        raise CannotDowngrade("it holds a report with characters outside ASCII")
    return _leaf(entity, header)


def _with_mime_version(entity: _Entity) -> bytes:
    """Return the header with a type; 8-bit text without one is of an unknown charset (RFC 1428 3)."""
    header = entity.header if entity.header.endswith(b"\n") or not entity.header else entity.header + b"\n"
    block = HeaderBlock(header)
    if not block.has(b"mime-version"):
        header += b"MIME-Version: 1.0\n"
    if not entity.media_type:
        charset = b"us-ascii" if entity.body.isascii() else b"unknown-8bit"
        header += b"Content-Type: text/plain; charset=" + charset + b"\n"
    return header


def _leaf(entity: _Entity, header: bytes) -> bytes:
    encoding = HeaderBlock(entity.header).first(b"content-transfer-encoding").lower()
    if encoding == b"quoted-printable":  # with 8-bit octets or a long line in it: only those are encoded
        body = _EIGHT_BIT.sub(lambda octet: b"=%02X" % octet[0][0], entity.body)
        return header + b"\n" + b"".join(_soft_lines(body))
    if encoding == b"base64":  # decoders skip octets outside the alphabet (RFC 2045 6.8)
        body = _EIGHT_BIT.sub(b"", entity.body)
        return header + b"\n" + (_base64_again(body) if has_long_line(body) else body)
    if entity.media_type.startswith(b"text/") or not entity.media_type:
        return _encoded(header, b"quoted-printable") + b"\n" + binascii.b2a_qp(entity.body, istext=True)
    # The canonical form has CRLF line ends (RFC 2049 4), and base64 keeps every octet of a part that is no text.
    canonical = entity.body.replace(b"\n", b"\r\n")
    return _encoded(header, b"base64") + b"\n" + b"".join(_base64_lines(canonical))


def _soft_lines(body: bytes) -> Iterator[bytes]:
    """Break long lines of quoted-printable at places that are no part of an encoded octet."""
    for line in io.BytesIO(body):
        rest = line
        while len(rest) > 76 and has_long_line(line):
            cut = 72 - (rest[71:72] == b"=") - 2 * (rest[70:71] == b"=")
            yield rest[:cut] + b"=\n"
            rest = rest[cut:]
        yield rest


def _base64_again(body: bytes) -> bytes:
    letters = b"".join(body.split())
    return b"".join(letters[at : at + 76] + b"\n" for at in range(0, len(letters), 76))


def _base64_lines(data: bytes) -> Iterator[bytes]:
    for at in range(0, len(data), 57):
        yield binascii.b2a_base64(data[at : at + 57])


def _encoded(header: bytes, encoding: bytes) -> bytes:
    """Return the header block with this Content-Transfer-Encoding and no other."""
    for field in reversed(HeaderBlock(header).fields(b"content-transfer-encoding")):
        header = header[: field.start] + header[field.end :]
    if header and not header.endswith(b"\n"):
        header += b"\n"
    return header + b"Content-Transfer-Encoding: " + encoding + b"\n"


def _multipart(entity: _Entity, limits: ContentLimits, depth: int, budget: _Budget) -> bytes:
    if not entity.boundary:
        raise CannotDowngrade("it has parts but does not say where they begin")
    pieces: list[bytes] = []
    part: list[bytes] = []
    inside = False
    mark = b"--" + entity.boundary
    for line in io.BytesIO(entity.body):
        if line.startswith(mark) and line[len(mark) :].strip() in {b"", b"--"}:
            pieces += [_part(part, limits, depth, budget, inside=inside), line]
            inside = not line[len(mark) :].startswith(b"--")
            part = []
        else:
            part.append(line)
    pieces.append(_part(part, limits, depth, budget, inside=inside))
    return b"".join(pieces)


def _part(lines: list[bytes], limits: ContentLimits, depth: int, budget: _Budget, *, inside: bool) -> bytes:
    content = b"".join(lines)
    if inside:
        # The line end before a boundary belongs to the boundary (RFC 2046 5.1.1).
        body, end = (content[:-1], b"\n") if content.endswith(b"\n") else (content, b"")
        return _converted(body, limits, depth + 1, budget) + end
    return _EIGHT_BIT.sub(b"?", content) if limits.seven_bit else content  # preamble and epilogue are never shown

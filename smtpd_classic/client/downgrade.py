"""8-bit mail for a server that takes 7 bits only (RFC 6152 3): the parts that hold 8-bit text are encoded, nothing
else changes.

The structure is walked as bytes, with bounds on depth and number. What cannot be encoded without spoiling it (a
signature over it, 8-bit header fields, which say no charset) is `CannotDowngrade`: the sender is told rather than the
text mangled.
"""

import binascii
import io
import re
from collections.abc import Iterator
from typing import NamedTuple

from smtpd_classic.message.headers import HeaderBlock, end_of_header_block

__all__ = ["CannotDowngrade", "seven_bit"]

_MAX_SIZE = 64 * 1024**2
_MAX_DEPTH = 16
_MAX_PARTS = 1000
_EIGHT_BIT = re.compile(rb"[\x80-\xff]")
_PARAMETER = re.compile(rb';\s*boundary\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;"]+))', re.IGNORECASE)
_SEALED = {b"multipart/signed", b"multipart/encrypted"}


class CannotDowngrade(Exception):
    """`str()` says why, for the sender."""


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


def seven_bit(content: bytes) -> bytes:
    """The message (LF line ends) with nothing but ASCII in it. Raises CannotDowngrade."""
    if len(content) > _MAX_SIZE:
        raise CannotDowngrade("the message is too large to be converted")
    return _converted(content, 0, _Budget())


def _entity(content: bytes) -> _Entity:
    end = end_of_header_block(content)
    header, body = (content, b"") if end < 0 else (content[:end], content[end + 1 :])
    value = HeaderBlock(header).first(b"content-type")
    found = _PARAMETER.search(value)
    boundary = b"" if found is None else re.sub(rb"\\(.)", rb"\1", found[1]) if found[1] is not None else found[2]
    return _Entity(header, body, value.partition(b";")[0].strip().lower(), boundary)


def _converted(content: bytes, depth: int, budget: _Budget) -> bytes:
    budget.take(depth)
    if content.isascii():
        return content
    entity = _entity(content)
    if not entity.header.isascii():
        raise CannotDowngrade("a header field holds characters outside ASCII")
    if entity.media_type in _SEALED:
        raise CannotDowngrade("it is signed or encrypted, and a conversion would break that")
    header = entity.header if depth else _with_mime_version(entity)
    if entity.media_type.startswith(b"multipart/"):
        return _encoded(header, b"7bit") + b"\n" + _multipart(entity, depth, budget)
    if entity.media_type in {b"message/rfc822", b"message/global"}:
        return _encoded(header, b"7bit") + b"\n" + _converted(entity.body, depth + 1, budget)
    if entity.media_type.startswith(b"message/"):
        raise CannotDowngrade("it holds a report with characters outside ASCII")
    return _leaf(entity, header)


def _with_mime_version(entity: _Entity) -> bytes:
    """RFC 1428 3: text of which nobody said what it is becomes text in an unknown charset."""
    header = entity.header if entity.header.endswith(b"\n") or not entity.header else entity.header + b"\n"
    block = HeaderBlock(header)
    if not block.has(b"mime-version"):
        header += b"MIME-Version: 1.0\n"
    if not entity.media_type:
        header += b"Content-Type: text/plain; charset=unknown-8bit\n"
    return header


def _leaf(entity: _Entity, header: bytes) -> bytes:
    encoding = HeaderBlock(entity.header).first(b"content-transfer-encoding").lower()
    if encoding == b"quoted-printable":  # and yet with 8-bit octets in it: those alone are encoded
        return header + b"\n" + _EIGHT_BIT.sub(lambda octet: b"=%02X" % octet[0][0], entity.body)
    if encoding == b"base64":  # decoders skip what is not of the alphabet (RFC 2045 6.8)
        return header + b"\n" + _EIGHT_BIT.sub(b"", entity.body)
    if entity.media_type.startswith(b"text/") or not entity.media_type:
        return _encoded(header, b"quoted-printable") + b"\n" + binascii.b2a_qp(entity.body, istext=True)
    # The canonical form has CRLF line ends (RFC 2049 4); what is no text must come out of base64 as it went in.
    canonical = entity.body.replace(b"\n", b"\r\n")
    return _encoded(header, b"base64") + b"\n" + b"".join(_base64_lines(canonical))


def _base64_lines(data: bytes) -> Iterator[bytes]:
    for at in range(0, len(data), 57):
        yield binascii.b2a_base64(data[at : at + 57])


def _encoded(header: bytes, encoding: bytes) -> bytes:
    """The header block with this Content-Transfer-Encoding and no other."""
    for field in reversed(HeaderBlock(header).fields(b"content-transfer-encoding")):
        header = header[: field.start] + header[field.end :]
    if header and not header.endswith(b"\n"):
        header += b"\n"
    return header + b"Content-Transfer-Encoding: " + encoding + b"\n"


def _multipart(entity: _Entity, depth: int, budget: _Budget) -> bytes:
    if not entity.boundary:
        raise CannotDowngrade("it has parts but does not say where they begin")
    pieces: list[bytes] = []
    part: list[bytes] = []
    inside = False
    mark = b"--" + entity.boundary
    for line in io.BytesIO(entity.body):
        if line.startswith(mark) and line[len(mark) :].strip() in {b"", b"--"}:
            pieces += [_part(part, inside, depth, budget), line]
            inside = not line[len(mark) :].startswith(b"--")
            part = []
        else:
            part.append(line)
    pieces.append(_part(part, inside, depth, budget))
    return b"".join(pieces)


def _part(lines: list[bytes], inside: bool, depth: int, budget: _Budget) -> bytes:
    content = b"".join(lines)
    if inside:
        # The line end before a boundary belongs to the boundary (RFC 2046 5.1.1).
        body, end = (content[:-1], b"\n") if content.endswith(b"\n") else (content, b"")
        return _converted(body, depth + 1, budget) + end
    return _EIGHT_BIT.sub(b"?", content)  # preamble and epilogue, which nobody is shown

"""The parts of a message that hold TNEF, as ranges of bytes.

Python's `email` changes most real messages when it writes them again, and hostile ones keep it busy for minutes; here
only the structure is walked, with bounds on depth and number.
"""

import binascii
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass

from smtpd_classic.tnef.rtf import words_of

__all__ = ["MAX_SIZE", "TnefPart", "find_tnef"]

MAX_SIZE = 32 * 1024**2
_MAX_DEPTH = 8
_MAX_PARTS = 200
_MAX_HEADERS = 256 * 1024
_MAX_FIELD = 4096
_SIGNED = {
    "multipart/signed",
    "multipart/encrypted",
    "application/pkcs7-mime",
    "application/x-pkcs7-mime",
    "application/pgp-encrypted",
}
_MAX_TEXT = 1024**2
_DKIM = re.compile(rb"^dkim-signature[ \t]*:", re.IGNORECASE | re.MULTILINE)
_SIGNATURE = bytes.fromhex("789f3e22")


@dataclass(frozen=True, slots=True)
class TnefPart:
    """A part to be replaced: the range of the content, the decoded TNEF, the header fields to keep.

    `text` is the text beside it in the message; without one (None) the text inside TNEF is wanted.
    """

    start: int
    end: int
    tnef: bytes
    kept_headers: bytes
    text: str | None


@dataclass(frozen=True, slots=True)
class _Part:
    start: int
    body: int
    end: int
    media_type: str
    parameters: dict[str, str]
    encoding: str
    depth: int


class _TooMuch(Exception):
    pass


class _Protected(Exception):
    """The message is signed or encrypted."""


def find_tnef(content: bytes, complain: Callable[[str], None]) -> tuple[TnefPart, ...]:
    """Return the TNEF parts of a message with LF line ends, in order.

    There are none in mail that is signed or encrypted, DKIM included. `complain` gets a sentence about TNEF that cannot
    be read out of its part.
    """
    if len(content) > MAX_SIZE:
        complain("the message is too large.")
        return ()
    whole = _part(content, 0, len(content), 0)
    if _DKIM.search(content, 0, whole.body):
        return ()
    try:
        parts = list(_walk(content, whole, [0]))
    except _Protected:
        return ()
    except _TooMuch:
        complain("the message has too many parts.")
        return ()
    text = _text_beside(content, parts)
    found = []
    for part in parts:
        if not _is_tnef(part):
            continue
        try:
            tnef = _decoded(content, part)
        except ValueError as problem:
            complain(f"{problem}.")
            continue
        found.append(TnefPart(part.start, part.end, tnef, _kept(content, part), text))
    return tuple(found)


def _text_beside(content: bytes, parts: list[_Part]) -> str | None:
    """Return the text that a reader is shown beside the TNEF parts; None when there is no text part."""
    for media_type in ("text/plain", "text/html"):
        found = [part for part in parts if part.media_type == media_type]
        if found:
            return "\n".join(_text_of(content, part) for part in found)[:_MAX_TEXT]
    return None


def _text_of(content: bytes, part: _Part) -> str:
    body = content[part.body : part.end]
    with suppress(binascii.Error):
        if part.encoding == "base64":
            body = binascii.a2b_base64(body)
        elif part.encoding == "quoted-printable":
            body = binascii.a2b_qp(body)
    try:
        text = body.decode(part.parameters.get("charset") or "utf-8", "replace")
    except (LookupError, ValueError):
        text = body.decode("utf-8", "replace")
    return words_of(text) if part.media_type == "text/html" else text


def _walk(content: bytes, part: _Part, count: list[int]) -> Iterator[_Part]:
    count[0] += 1
    if count[0] > _MAX_PARTS or part.depth > _MAX_DEPTH:
        raise _TooMuch
    if part.media_type in _SIGNED:
        raise _Protected
    boundary = part.parameters.get("boundary", "")
    if part.media_type.startswith("multipart/") and boundary:
        for start, end in _split(content, part, boundary.encode("utf-8", "surrogateescape")):
            yield from _walk(content, _part(content, start, end, part.depth + 1), count)
    else:
        yield part


def _split(content: bytes, part: _Part, boundary: bytes) -> Iterator[tuple[int, int]]:
    """The ranges between boundary lines (RFC 2046 5.1.1); the line end before a boundary belongs to the boundary."""
    mark = b"--" + boundary
    start: int | None = None
    at = part.body
    while at < part.end:
        if not content.startswith(mark, at):
            at = content.find(b"\n" + mark, at, part.end) + 1
            if at == 0:
                return
        line_end = content.find(b"\n", at, part.end)
        line_end = part.end if line_end < 0 else line_end
        rest = content[at + len(mark) : line_end].strip(b" \t\r")
        if rest in {b"", b"--"}:
            if start is not None:
                yield start, max(start, at - 1)
            if rest == b"--":
                return
            start = line_end + 1
        at = line_end + 1 if line_end + 1 > at else part.end
    # A part without its closing boundary is not cut: its end may be missing.


def _part(content: bytes, start: int, end: int, depth: int) -> _Part:
    if content.startswith(b"\n", start):
        blank, body = start, start + 1
    else:
        blank = content.find(b"\n\n", start, min(end, start + _MAX_HEADERS)) + 1
        if blank == 0:
            blank = body = end
        else:
            body = blank + 1
    fields = dict(_fields(content[start:blank]))
    media_type, parameters = _content_type(fields.get("content-type", ""))
    name = parameters.get("name", "") or _content_type(fields.get("content-disposition", ""))[1].get("filename", "")
    parameters["name"] = name.lower()
    return _Part(start, body, end, media_type, parameters, fields.get("content-transfer-encoding", "").lower(), depth)


def _fields(block: bytes) -> Iterator[tuple[str, str]]:
    """The Content fields of a header block, unfolded; the first of a name counts, so they come in reverse."""
    unfolded = re.sub(rb"\n(?=[ \t])", b"", block)
    for line in reversed(unfolded.split(b"\n")):
        name, colon, value = line.partition(b":")
        if colon and name[:8].lower() == b"content-":
            yield name.strip().lower().decode("latin-1"), value[:_MAX_FIELD].strip().decode("utf-8", "surrogateescape")


def _content_type(value: str) -> tuple[str, dict[str, str]]:
    """`text/plain; name="x"` taken apart; bounded by the length of a field, so a plain loop will do."""
    words: list[str] = []
    word, quoted, escaped = "", False, False
    for char in value:
        if escaped:
            word, escaped = word + char, False
        elif quoted and char == "\\":
            escaped = True
        elif char == '"':
            quoted = not quoted
        elif char == ";" and not quoted:
            words.append(word)
            word = ""
        else:
            word += char
    words.append(word)
    parameters = {}
    for each in words[1:]:
        key, _, text = each.partition("=")
        parameters[key.strip().lower()] = text.strip()
    return words[0].strip().lower(), parameters


def _is_tnef(part: _Part) -> bool:
    return (
        part.media_type in {"application/ms-tnef", "application/vnd.ms-tnef"}
        or part.parameters["name"] == "winmail.dat"
    )


def _decoded(content: bytes, part: _Part) -> bytes:
    """Return the TNEF stream in a part. Raises ValueError."""
    body = content[part.body : part.end]
    try:
        if part.encoding == "base64":
            data = binascii.a2b_base64(body)
        elif part.encoding == "quoted-printable":
            data = binascii.a2b_qp(body)
        else:  # its line ends have been changed
            raise ValueError(f"its transfer encoding is {part.encoding[:40] or '7bit'}, not base64")
    except binascii.Error:
        raise ValueError("its base64 is broken") from None
    if not data.startswith(_SIGNATURE):
        raise ValueError("it does not begin as TNEF does")
    return data


def _kept(content: bytes, part: _Part) -> bytes:
    """The header fields that stay when the part is the whole message: all but those that describe its content."""
    if part.depth > 0:
        return b""
    lines = content[part.start : part.body].split(b"\n")
    kept: list[bytes] = []
    dropping = False
    for line in lines:
        if line[:1] not in {b" ", b"\t"}:
            dropping = line[:8].lower() == b"content-"
        if line and not dropping:
            kept.append(line + b"\n")
    return b"".join(kept)

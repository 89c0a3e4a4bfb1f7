"""A MIME entity (RFC 2045) with LF line ends from the content of a TNEF stream."""

import base64
import binascii
import mimetypes
import re
import secrets
from collections.abc import Sequence
from urllib.parse import quote

from smtpd_classic.tnef.decode import Attachment, Decoded

__all__ = ["entity"]

_MEDIA_TYPE = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,60}/[a-z0-9][a-z0-9!#$&^_.+-]{0,60}")
_WORD = re.compile(r"\w+")
_CONTENT_ID = re.compile(r"[!#-;=?-~]{1,200}")


def entity(found: Decoded, original: bytes, beside: str | None) -> bytes:
    """Return header fields, blank line and body.

    `beside` is the text that the message shows already, None when there is none; a body that says the same is left out.
    The original file is attached when something in it has no form in MIME.
    """
    parts = _bodies(found, with_text=beside is None)
    related = [each for each in found.attachments if _referred(each, found.html)]
    if related and parts:
        parts = [_multipart("related", [*parts, *(_attachment(each) for each in related)])]
    parts += [_attachment(each) for each in found.attachments if each not in related or not parts]
    if found.rtf and _says_more(found, beside):
        parts.append(_attachment(Attachment("message.rtf", found.rtf, "application/rtf")))
    if not found.complete or not parts:
        parts.append(_attachment(Attachment("winmail.dat", original, "application/ms-tnef")))
    return parts[0] if len(parts) == 1 else _multipart("mixed", parts)


def _says_more(found: Decoded, beside: str | None) -> bool:
    """Return True if the RTF body would be missed: by its form, or because its words are others."""
    if beside is None and not found.rtf_plain:
        return True
    shown = found.text if beside is None else beside
    return _words(found.rtf_text) != _words(shown)


def _words(text: str) -> list[str]:
    return _WORD.findall(text.casefold())


def _bodies(found: Decoded, *, with_text: bool) -> list[bytes]:
    bodies = []
    if found.text.strip() and with_text:
        bodies.append(_text("plain", found.text))
    if found.html.strip():
        bodies.append(_text("html", found.html))
    return [_multipart("alternative", bodies)] if len(bodies) > 1 else bodies


def _referred(attachment: Attachment, markup: str) -> bool:
    return bool(attachment.content_id) and f"cid:{attachment.content_id}" in markup


def _multipart(subtype: str, parts: Sequence[bytes]) -> bytes:
    boundary = f"=_{secrets.token_hex(16)}".encode()
    head = b'Content-Type: multipart/%s;\n boundary="%s"\n\n' % (subtype.encode(), boundary)
    body = b"".join(b"--%s\n%s%s" % (boundary, part, b"" if part.endswith(b"\n") else b"\n") for part in parts)
    return head + body + b"--%s--\n" % boundary


def _text(subtype: str, text: str) -> bytes:
    unix = text.replace("\r\n", "\n").replace("\r", "\n").encode("utf-8", "replace")
    head = f"Content-Type: text/{subtype}; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\n"
    if subtype == "html":
        # The part names its charset; the one that the page names was that of another encoding.
        unix = re.sub(rb"(?i)(<meta[^>]{0,300}charset=[\"']?)[\w-]{1,40}", rb"\1utf-8", unix)
    return head.encode() + binascii.b2a_qp(unix, istext=True).replace(b"\r\n", b"\n") + b"\n"


def _attachment(each: Attachment) -> bytes:
    if each.message is not None:
        return _message(each, each.message)
    guessed = mimetypes.guess_type(each.name)[0] or "application/octet-stream"
    media_type = each.media_type if _MEDIA_TYPE.fullmatch(each.media_type) else guessed
    if media_type.startswith(("multipart/", "message/")):  # these may not be base64 (RFC 2045 6.4)
        media_type = "application/octet-stream"
    lines = [
        f"Content-Type: {media_type}",
        f"Content-Disposition: attachment;{_file_name(each.name)}",
        "Content-Transfer-Encoding: base64",
    ]
    if _CONTENT_ID.fullmatch(each.content_id):
        lines.append(f"Content-ID: <{each.content_id}>")
    return ("\n".join(lines) + "\n\n").encode() + base64.encodebytes(each.data)


def _message(each: Attachment, message: Decoded) -> bytes:
    subject = binascii.b2a_base64(message.subject.encode("utf-8", "replace")[:45], newline=False).decode()
    inner = entity(message, each.data, None)
    head = f"Content-Type: message/rfc822\nContent-Disposition: attachment;{_file_name(each.name)}\n\n"
    return head.encode() + f"Subject: =?utf-8?B?{subject}?=\nMIME-Version: 1.0\n".encode() + inner


def _file_name(name: str) -> str:
    """Return the parameter (RFC 2231) without folder or control character; an ASCII name in the plain form."""
    base = re.split(r"[/\\]", name)[-1]
    base = "".join(char for char in base if char.isprintable()).strip(" .")[:150] or "attachment"
    if base.isascii() and '"' not in base:
        return f'\n filename="{base}"'
    return f"\n filename*=utf-8''{quote(base, safe='')}"

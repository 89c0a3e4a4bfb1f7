"""The content of a TNEF stream, through tnefparse, with the repairs that real files need."""

import logging
import struct
from dataclasses import dataclass, field

from tnefparse import TNEF
from tnefparse import properties as mapi
from tnefparse.mapi import IMESSAGE_SIG, SZMAPI_BINARY, SZMAPI_OBJECT

from smtpd_classic.tnef.rtf import Rtf, read_rtf

__all__ = ["Attachment", "Decoded", "NothingInside", "decode"]

_MAX_ATTACHMENTS = 500
_MAX_DEPTH = 3
_NOTES = ("IPM.Note", "IPM.Microsoft Mail.Note")
_INTERFACE = 16  # the identifier of its interface stands before an object's bytes


class NothingInside(Exception):
    """Raised when there is neither text nor an attachment that could stand for the file."""


@dataclass(slots=True)
class Attachment:
    name: str
    data: bytes
    media_type: str = ""
    content_id: str = ""
    message: "Decoded | None" = None


@dataclass(slots=True)
class Decoded:
    """The content of a file.

    `rtf` is a body that is no HTML, `rtf_text` its text, `rtf_plain` tells that it was plain text from the start.
    `complete` is false when the file holds something without a form in MIME; the file is then kept beside it.
    """

    text: str = ""
    html: str = ""
    rtf: bytes = b""
    rtf_text: str = ""
    rtf_plain: bool = False
    subject: str = ""
    attachments: list[Attachment] = field(default_factory=list)
    complete: bool = True


def decode(data: bytes, depth: int = 0) -> Decoded:
    """Return the content of a file. Raises NothingInside, and any exception of tnefparse."""
    logging.disable()  # it writes a line for every property that it does not know
    tnef = TNEF(data, do_checksum=False)
    codepage = tnef.codepage or "cp1252"
    found = Decoded(subject=_subject(tnef, codepage))
    found.text = _text(tnef.body, codepage).replace("\r\n", "\n")
    found.html = _text(tnef.htmlbody, codepage)
    if tnef.has_body() and not found.html:
        _read_rtf_body(tnef, found)
    message_class = next((str(each.data) for each in tnef.msgprops if each.name == TNEF.ATTMESSAGECLASS), _NOTES[0])
    found.complete = message_class.startswith(_NOTES)
    if len(tnef.attachments) > _MAX_ATTACHMENTS:
        raise NothingInside("it has too many attachments.")
    raw = _attachment_blocks(tnef)
    for number, each in enumerate(tnef.attachments):
        found.attachments.append(_attachment(each, raw[number] if number < len(raw) else b"", codepage, found, depth))
    if not (found.text.strip() or found.html.strip() or found.rtf or found.attachments):
        raise NothingInside("there is neither text nor an attachment in it.")
    return found


def _read_rtf_body(tnef: TNEF, found: Decoded) -> None:
    rtf = tnef.rtfbody
    if not rtf:
        return
    read: Rtf = read_rtf(rtf)
    found.html = read.html
    found.text = found.text or read.text
    if not read.html:
        found.rtf, found.rtf_text, found.rtf_plain = rtf, read.text, read.plain


def _text(value: object, codepage: str) -> str:
    if isinstance(value, (list, tuple)):
        value = value[0] if value else ""
    if isinstance(value, bytes):
        value = value.decode(codepage, "replace")
    return value.replace("\0", "") if isinstance(value, str) else ""


def _subject(tnef: TNEF, codepage: str) -> str:
    for each in tnef.mapiprops:
        if each.name == mapi.MAPI_SUBJECT:
            return _text(each.data, codepage)
    return next((_text(each.data, codepage) for each in tnef.msgprops if each.name == TNEF.ATTSUBJECT), "")


def _attachment_blocks(tnef: TNEF) -> list[bytes]:
    """Return the raw property block of each attachment; tnefparse keeps only values with their ends cut off."""
    blocks: list[bytes] = []
    for each in tnef.objects:
        if each.name == TNEF.ATTATTACHRENDDATA:
            blocks.append(b"")
        elif each.name == TNEF.ATTATTACHMENT and blocks:
            blocks[-1] = each.data
    return blocks


def _attachment(each: object, block: bytes, codepage: str, found: Decoded, depth: int) -> Attachment:
    properties = {attribute.name: attribute for attribute in each.mapi_attrs}  # type: ignore[attr-defined]

    def text_of(name: int) -> str:
        return _text(properties[name].data, codepage) if name in properties else ""

    name = text_of(mapi.MAPI_ATTACH_LONG_FILENAME) or _text(each._name, codepage) or text_of(mapi.MAPI_DISPLAY_NAME)  # type: ignore[attr-defined]  # noqa: SLF001
    made = Attachment(
        name.strip() or "attachment",
        bytes(each.data or b""),  # type: ignore[attr-defined]
        text_of(mapi.MAPI_ATTACH_MIME_TAG).strip().lower(),
        text_of(mapi.MAPI_ATTACH_CONTENT_ID).strip().strip("<>"),
    )
    value = _value(block, SZMAPI_BINARY)
    if value is not None:
        made.data = value
    value = _value(block, SZMAPI_OBJECT)
    if value is None:
        return made
    made.data = value[_INTERFACE:]
    if value.startswith(IMESSAGE_SIG):
        made.message = _nested(made.data, depth)
        found.complete = found.complete and made.message is not None
    return made


def _nested(data: bytes, depth: int) -> Decoded | None:
    if depth + 1 >= _MAX_DEPTH:
        return None
    try:
        return decode(data, depth + 1)
    except NothingInside:
        return None


def _value(block: bytes, kind: int) -> bytes | None:
    """Return PidTagAttachDataObject with all its bytes: kind and tag, a count of one, the length, the bytes."""
    at = block.find(struct.pack("<HHI", kind, mapi.MAPI_ATTACH_DATA_OBJ, 1))
    if at < 0 or at + 12 > len(block):
        return None
    (length,) = struct.unpack_from("<I", block, at + 8)
    value = block[at + 12 : at + 12 + length]
    return value if len(value) == length else None

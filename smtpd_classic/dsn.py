"""Delivery status notifications: what became of a message, for its sender (RFC 3464), and for a person first of all.

Rule 1: whatever came from outside (addresses, replies, envelope ids) is made one printable line before it is written
into a field; nothing a stranger says can end a field or a part.
Rule 2: a notification is ASCII but for the address it goes to, the words about such addresses, and what it quotes.
Rule 3: it goes out from the null sender. Whom it must not be sent to, and when, the caller knows (RFC 3461 5.2).
"""

import re
import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from smtpd_classic.message.headers import HeaderBlock
from smtpd_classic.message.trace import date_text

__all__ = ["Notification", "RecipientStatus", "compose", "eight_bit", "plain_notice"]

_LONGEST_VALUE = 1800
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_BIDI = re.compile("[\u061c\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff]")
_MESSAGE_ID = re.compile(rb"<[!-;=?-~]{1,240}>")
_XTEXT = re.compile(r"\+([0-9A-F]{2})")  # RFC 3461 4
_LONGEST_WORD = re.compile(r"(\S{900})")
_STATUS = re.compile(r"[245]\.\d{1,3}\.\d{1,3}")
_CLASSES = {"failed": "5", "delayed": "4"}


@dataclass(frozen=True, slots=True)
class RecipientStatus:
    """What became of one recipient. `action` is failed, delayed, delivered, relayed or expanded (RFC 3464 2.3.3).

    `original` is the address that was written to, when an alias led from it to `recipient`; `orcpt` what the sender's
    software called it. `said` is the complete reply of `host`, or, with a blank `host`, our own words.
    """

    recipient: str
    action: str
    status: str
    said: str = ""
    host: str = ""
    ip: str = ""
    command: str = ""
    original: str = ""
    orcpt: str = ""
    last_attempt: float = 0.0
    retry_until: float = 0.0


@dataclass(frozen=True, slots=True)
class Notification:
    """The frame of a notification about the message `queue_id`. `token` makes its boundary and Message-ID unique."""

    queue_id: str
    token: str
    helo_name: str
    postmaster: str
    to: str
    arrival: float
    now: float
    fates: tuple[RecipientStatus, ...]
    envid: str = ""
    preface: str = ""  # a paragraph before all others, for the postmaster's copies


def one_line(text: str, limit: int = _LONGEST_VALUE) -> str:
    """Text of a stranger as one line without anything that moves a cursor or reorders letters."""
    return _BIDI.sub("", _CONTROL.sub(" ", text[:limit])).strip()


def _ascii_line(text: str) -> str:
    return one_line(text).encode("ascii", "replace").decode("ascii")


def _typed_address(address: str) -> str:
    """`rfc822; address`, or for an address that is not ASCII its 7-bit form (RFC 6533 3)."""
    line = one_line(address)
    if line.isascii():
        return f"rfc822; {line}"
    return "utf-8; " + "".join(c if "!" <= c <= "~" and c not in "+=\\" else f"\\x{{{ord(c):X}}}" for c in line)


def _original_recipient(orcpt: str) -> str:
    """RFC 3461 4.2: `addr-type;xtext`, written decoded (6.3 of RFC 3461)."""
    kind, _, text = orcpt.partition(";")
    if kind.lower() == "utf-8":
        return _ascii_line(f"{kind}; {text}")
    decoded = _XTEXT.sub(lambda match: chr(int(match[1], 16)), text)
    return f"{_ascii_line(kind)}; {_ascii_line(decoded)}"


def _field(name: str, value: str) -> str:
    """One field, folded where there is white space; RFC 5322 2.1.1 allows no line over 998. None at all without a
    value: an empty line would end the block."""
    if not value.strip():
        return ""
    words = textwrap.wrap(value, 900, initial_indent=f"{name}: ", subsequent_indent="    ", break_on_hyphens=False)
    return "\n".join(words) + "\n"


def status_of(fate: RecipientStatus) -> str:
    """The status code, of the class that the action demands (RFC 3463 2): nothing failed with 2.0.0."""
    found = fate.status if _STATUS.fullmatch(fate.status) else "0.0.0"
    if fate.action == "failed":
        # 4.4.7, "delivery time expired", is what a message that waited too long ends with: it stays.
        return found if found[0] in "45" else f"5.{found[2:]}"
    return _CLASSES.get(fate.action, "2") + found[1:]


def _fields_of(fate: RecipientStatus) -> str:
    lines = [_field("Final-Recipient", _typed_address(fate.recipient))]
    if fate.orcpt:
        lines.insert(0, _field("Original-Recipient", _original_recipient(fate.orcpt)))
    lines += [_field("Action", fate.action), _field("Status", status_of(fate))]
    if fate.host:
        lines.append(_field("Remote-MTA", f"dns; {_ascii_line(fate.host)}"))
    if fate.said:
        kind = "smtp" if fate.host else "x-smtpd-classic"
        lines.append(_field("Diagnostic-Code", f"{kind}; {_ascii_line(fate.said)}"))
    if fate.last_attempt:
        lines.append(_field("Last-Attempt-Date", date_text(fate.last_attempt)))
    if fate.action == "delayed" and fate.retry_until:
        lines.append(_field("Will-Retry-Until", date_text(fate.retry_until)))
    return "".join(lines)


def _status_part(note: Notification) -> str:
    lines = [_field("Reporting-MTA", f"dns; {note.helo_name}"), _field("X-Queue-ID", note.queue_id)]
    if note.envid:
        lines.insert(0, _field("Original-Envelope-Id", _ascii_line(note.envid)))
    lines.append(_field("Arrival-Date", date_text(note.arrival)))
    return "\n".join(["".join(lines), *(_fields_of(fate) for fate in note.fates)])


_SUBJECTS = {
    "failed": "Your message could not be delivered",
    "delayed": "Your message is delayed",
    "delivered": "Your message has been delivered",
    "relayed": "Your message has been passed on",
    "expanded": "Your message has been passed on to a list",
}
_FIRST_SENTENCES = {
    "failed": "Your message could not be delivered to {}.",
    "delayed": "Your message to {} has not been delivered yet. There is nothing you need to do: it is tried again.",
    "delivered": "Your message to {} has been delivered.",
    "relayed": "Your message to {} has been passed on to a server that sends no notices of delivery.",
    "expanded": "Your message to {} has been passed on to everybody whom this address stands for.",
}
_LAST_SENTENCES = {
    "failed": "It will not be tried again. Details for your administrator, and your message or its headers, follow.",
    "delayed": "If it cannot be delivered by then, it comes back to you.",
}


def _whom(fate: RecipientStatus) -> str:
    recipient, original = one_line(fate.recipient, 320), one_line(fate.original, 320)
    if original and original.lower() != recipient.lower():
        return f"<{original}>, which leads to <{recipient}>,"
    return f"<{recipient}>"


def _reason(fate: RecipientStatus) -> list[str]:
    """The lines about one recipient: who said what to which command."""
    said = one_line(fate.said)
    if not said or fate.action not in _CLASSES:
        return []
    if not fate.host:
        return _wrapped("The reason:") + _quoted(said)
    place = one_line(fate.host, 255) + (f" ({fate.ip})" if fate.ip else "")
    after = f" in answer to {one_line(fate.command, 60)}" if fate.command else ""
    return _wrapped(f"The mail server {place} said{after}:") + _quoted(said)


def _wrapped(text: str, indent: str = "") -> list[str]:
    """Lines of a comfortable length; words such as addresses stay whole up to what RFC 5322 2.1.1 allows in a line."""
    text = _LONGEST_WORD.sub(r"\1 ", text)
    lines = textwrap.wrap(
        text, 72, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False, break_long_words=False
    )
    return lines or [""]


def _quoted(text: str) -> list[str]:
    return [*_wrapped(text, "    "), ""]


def _words(note: Notification) -> str:
    """What a person reads first."""
    action = note.fates[0].action
    lines = [*_wrapped(note.preface), ""] if note.preface else []
    if len(note.fates) == 1:
        whom = _whom(note.fates[0])
        lines += [*_wrapped(_FIRST_SENTENCES[action].format(whom).replace(",.", ".")), ""]
        lines += _reason(note.fates[0])
    else:
        lines += [*_wrapped(_FIRST_SENTENCES[action].format(f"{len(note.fates)} of its recipients")), ""]
        for fate in note.fates:
            lines += [*_wrapped(_whom(fate).rstrip(",")), *_reason(fate)]
        lines += [] if lines[-1] == "" else [""]
    until = max(fate.retry_until for fate in note.fates)
    if action == "delayed" and until:
        lines += [*_wrapped(f"It is tried until {date_text(until)}."), ""]
    if action in _LAST_SENTENCES:
        lines += [*_wrapped(_LAST_SENTENCES[action]), ""]
    lines += [f"The mail system at {note.helo_name}, message {note.queue_id}"]
    return "\n".join(lines) + "\n"


def _reference(header: bytes) -> str:
    """The Message-ID of the original, so that the notification is shown beside it."""
    found = _MESSAGE_ID.fullmatch(HeaderBlock(header).first(b"message-id"))
    return found[0].decode("ascii") if found else ""


def _top(note: Notification, subject: str, content_type: str, header: bytes) -> str:
    lines = [
        f"Date: {date_text(note.now)}\n",
        f"From: Mail Delivery System <{note.postmaster}>\n",
        f"To: <{one_line(note.to, 320)}>\n",
        f"Subject: {subject}\n",
        f"Message-ID: <{note.token}@{note.helo_name}>\n",
        "Auto-Submitted: auto-replied\n",  # RFC 3834 5: in answer to a message
        "MIME-Version: 1.0\n",
        content_type,
    ]
    reference = _reference(header)
    if reference:
        lines.insert(5, f"References: {reference}\nIn-Reply-To: {reference}\n")
    return "".join(lines)


def _text_part(words: str) -> str:
    charset, encoding = ("us-ascii", "7bit") if words.isascii() else ("utf-8", "8bit")
    return (
        f"Content-Type: text/plain; charset={charset}\nContent-Transfer-Encoding: {encoding}\n"
        f"Content-Description: Notification\n\n{words}"
    )


def eight_bit(note: Notification, quoted: bytes, *, content_8bit: bool = False) -> bool:
    """Whether the notification needs 8BITMIME on its way: `quoted` and `content_8bit` tell of what it will quote."""
    return content_8bit or not quoted.isascii() or not _words(note).isascii() or not note.to.isascii()


def compose(
    note: Notification, header: bytes, content: Iterable[bytes] | None = None, *, content_8bit: bool = False
) -> Iterator[bytes]:
    """The notification in pieces, with LF line ends; every fate in it has the same action.

    `header` is the header block of the original message; `content`, when the sender wants the message back (RET=FULL),
    all of it. Piece by piece, for it may be large.
    """
    outer_8bit = eight_bit(note, header, content_8bit=content_8bit)
    boundary = f"=_{note.token}"
    encoding = "Content-Transfer-Encoding: 8bit\n" if outer_8bit else ""
    kind = f'Content-Type: multipart/report; report-type=delivery-status;\n\tboundary="{boundary}"\n{encoding}\n'
    top = _top(note, _SUBJECTS[note.fates[0].action], kind, header)
    yield (
        f"{top}This is a delivery status notification in MIME form.\n\n--{boundary}\n{_text_part(_words(note))}\n"
        f"--{boundary}\nContent-Type: message/delivery-status\nContent-Description: Delivery report\n\n"
        f"{_status_part(note)}\n--{boundary}\n"
    ).encode()
    if content is None:
        part_8bit, kind, description = not header.isascii(), "text/rfc822-headers", "Headers of your message"
    else:
        part_8bit, kind, description = content_8bit or not header.isascii(), "message/rfc822", "Your message"
    encoding = "Content-Transfer-Encoding: 8bit\n" if part_8bit else ""
    yield f"Content-Type: {kind}\n{encoding}Content-Description: {description}\n\n".encode()
    if content is None:
        yield header
    else:
        yield from content
    yield f"\n--{boundary}--\n".encode()


def plain_notice(note: Notification, subject: str, words: str) -> bytes:
    """A message in plain words to the postmaster, who has to do something. `note.fates` is not looked at."""
    text = "\n\n".join("\n".join(_wrapped(one_line(part, 4000))) for part in words.split("\n\n")) + "\n"
    return (_top(note, _ascii_line(subject), _text_part(text), b"")).encode()

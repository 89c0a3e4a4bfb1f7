"""Delivery status notifications (RFC 3464): the outcome of a message for its sender, in plain words first.

Rule 1: text from outside (addresses, replies, envelope ids) is made one printable line before it is written into a
field, so that it cannot end a field or a part.
Rule 2: a notification is ASCII but for the address it goes to, the words about such addresses, and quoted text.
Rule 3: it is sent from the null sender. The caller decides whether it may be sent at all (RFC 3461 5.2).
"""

import ipaddress
import re
import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from smtpd_classic.domain_name import ascii_address
from smtpd_classic.message.headers import HeaderBlock
from smtpd_classic.message.phrase import ascii_mailbox
from smtpd_classic.message.trace import date_text

__all__ = ["Notification", "RecipientStatus", "compose", "eight_bit", "plain_notice"]

_LONGEST_VALUE = 8 * 1024
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_BIDI = re.compile("[\u061c\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff]")
_MESSAGE_ID = re.compile(rb"<[!-;=?-~]{1,240}>")
_XTEXT = re.compile(r"\+([0-9A-F]{2})")  # RFC 3461 4
_LONGEST_WORD = re.compile(r"(\S{900})")
_STATUS = re.compile(r"[245]\.\d{1,3}\.\d{1,3}")
_CLASSES = {"failed": "5", "delayed": "4"}


@dataclass(frozen=True, slots=True)
class RecipientStatus:
    """The status of one recipient. `action` is failed, delayed, delivered, relayed or expanded (RFC 3464 2.3.3).

    `original` is the address that the sender named, when an alias led from it to `recipient`; `orcpt` is the original
    recipient of RFC 3461. `said` is the complete reply of `host`, or our own words when `host` is blank. `then` are our
    own words about a later attempt.
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
    then: str = ""


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
    statuses: tuple[RecipientStatus, ...]
    envid: str = ""
    preface: str = ""  # a paragraph before all others, for the postmaster's copies
    answers: bool = True  # it goes to the sender of the message, or to the postmaster


def one_line(text: str, limit: int = _LONGEST_VALUE) -> str:
    """Return a stranger's text as one line without characters that move a cursor or reorder letters."""
    return _BIDI.sub("", _CONTROL.sub(" ", text[:limit])).strip()


def _ascii_line(text: str) -> str:
    return one_line(text).encode("ascii", "replace").decode("ascii")


def _typed_address(address: str) -> str:
    """Return `rfc822; address`, or the 7-bit form of an address that is not ASCII (RFC 6533 3)."""
    line = one_line(address)
    if line.isascii():
        return f"rfc822; {line}"
    return "utf-8; " + "".join(c if "!" <= c <= "~" and c not in "+=\\" else _seven_bit(c) for c in line)


def _seven_bit(char: str) -> str:
    return f"\\x{{{ord(char):X}}}"


def _original_recipient(orcpt: str) -> str:
    """Return `addr-type;xtext` (RFC 3461 4.2) decoded (RFC 3461 6.3)."""
    kind, _, text = orcpt.partition(";")
    if kind.lower() == "utf-8":
        return _ascii_line(f"{kind}; " + "".join(c if c.isascii() else _seven_bit(c) for c in one_line(text)))
    decoded = _XTEXT.sub(lambda match: chr(int(match[1], 16)), text)
    return f"{_ascii_line(kind)}; {_ascii_line(decoded)}"


def _field(name: str, value: str) -> str:
    """Return a field folded at white space (RFC 5322 2.1.1), blank without a value."""
    if not value.strip():
        return ""
    words = textwrap.wrap(value, 900, initial_indent=f"{name}: ", subsequent_indent="    ", break_on_hyphens=False)
    return "\n".join(words) + "\n"


def status_of(status: RecipientStatus) -> str:
    """Return the status code in the class of the action (RFC 3463 2): a failure never has 2.0.0."""
    found = status.status if _STATUS.fullmatch(status.status) else "0.0.0"
    if status.action == "failed":
        # 4.4.7, "delivery time expired", stays: a message that waited too long ends with it.
        return found if found[0] in "45" else f"5.{found[2:]}"
    return _CLASSES.get(status.action, "2") + found[1:]


def _fields_of(status: RecipientStatus) -> str:
    lines = [_field("Final-Recipient", _typed_address(status.recipient))]
    if status.orcpt:
        lines.insert(0, _field("Original-Recipient", _original_recipient(status.orcpt)))
    lines += [_field("Action", status.action), _field("Status", status_of(status))]
    if status.host:
        lines.append(_field("Remote-MTA", _mta(_ascii_line(status.host))))
    if status.said:
        kind = "smtp" if status.host else "x-smtpd-classic"
        lines.append(_field("Diagnostic-Code", f"{kind}; {_ascii_line(status.said)}"))
    if status.last_attempt:
        lines.append(_field("Last-Attempt-Date", date_text(status.last_attempt)))
    if status.action == "delayed" and status.retry_until:
        lines.append(_field("Will-Retry-Until", date_text(status.retry_until)))
    return "".join(lines)


def _mta(host: str) -> str:
    """Return the name of a host with its type (RFC 3464 2.1.2): an address is a literal, and a socket is no host."""
    if host.startswith("/"):
        return f"x-unix; {host}"
    try:
        version = ipaddress.ip_address(host).version
    except ValueError:
        return f"dns; {host}"
    return f"dns; [{host}]" if version == 4 else f"dns; [IPv6:{host}]"


def _status_part(note: Notification) -> str:
    lines = [_field("Reporting-MTA", f"dns; {note.helo_name}"), _field("X-Queue-ID", note.queue_id)]
    if note.envid:
        lines.insert(0, _field("Original-Envelope-Id", _ascii_line(note.envid)))
    lines.append(_field("Arrival-Date", date_text(note.arrival)))
    return "\n".join(["".join(lines), *(_fields_of(status) for status in note.statuses)])


_SUBJECTS = {
    "failed": "Your message could not be delivered",
    "delayed": "Your message is delayed",
    "delivered": "Your message has been delivered",
    "relayed": "Your message has been passed on",
    "expanded": "Your message has been passed on to a list",
}
_FIRST_SENTENCES = {
    "failed": "Your message could not be delivered to {}.",
    "delayed": "Your message to {} has not been delivered yet. You need not do anything: it is tried again.",
    "delivered": "Your message to {} has been delivered.",
    "relayed": "Your message to {} has been passed on to a server that sends no notices of delivery.",
    "expanded": "Your message to {} has been passed on to all members of this list.",
}
_LAST_SENTENCES = {
    "failed": "It will not be tried again. Details for your administrator, and your message or its headers, follow.",
    "delayed": "If it cannot be delivered by then, it comes back to you.",
}


def _whom(status: RecipientStatus) -> str:
    recipient, original = one_line(status.recipient, 320), one_line(status.original, 320)
    if original and original.lower() != recipient.lower():
        return f"<{original}>, which leads to <{recipient}>,"
    return f"<{recipient}>"


def _reason(status: RecipientStatus) -> list[str]:
    """Return the lines about one recipient: the host, its reply, and the command."""
    said = one_line(status.said)
    if not said or status.action not in _CLASSES:
        return []
    if not status.host:
        return _wrapped("The reason:") + _quoted(said)
    place = one_line(status.host, 255) + (f" ({status.ip})" if status.ip not in {"", status.host} else "")
    after = f" in answer to {one_line(status.command, 60)}" if status.command else ""
    then = _wrapped("The last attempt got no reply:") + _quoted(one_line(status.then)) if status.then else []
    return _wrapped(f"The mail server {place} said{after}:") + _quoted(said) + then


def _wrapped(text: str, indent: str = "") -> list[str]:
    """Return lines of a readable length; a word stays whole up to the longest line of RFC 5322 2.1.1."""
    text = _LONGEST_WORD.sub(r"\1 ", text)
    lines = textwrap.wrap(
        text, 72, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False, break_long_words=False
    )
    return lines or [""]


def _quoted(text: str) -> list[str]:
    return [*_wrapped(text, "    "), ""]


def _words(note: Notification) -> str:
    """Return the text part."""
    action = note.statuses[0].action
    lines = [*_wrapped(note.preface), ""] if note.preface else []
    if len(note.statuses) == 1:
        whom = _whom(note.statuses[0])
        lines += [*_wrapped(_FIRST_SENTENCES[action].format(whom).replace(",.", ".")), ""]
        lines += _reason(note.statuses[0])
    else:
        lines += [*_wrapped(_FIRST_SENTENCES[action].format(f"{len(note.statuses)} of its recipients")), ""]
        for status in note.statuses:
            lines += [*_wrapped(_whom(status).rstrip(",")), *_reason(status)]
        lines += [] if lines[-1] == "" else [""]
    until = max(status.retry_until for status in note.statuses)
    if action == "delayed" and until:
        lines += [*_wrapped(f"It is tried until {date_text(until)}."), ""]
    if action in _LAST_SENTENCES:
        lines += [*_wrapped(_LAST_SENTENCES[action]), ""]
    lines += [f"The mail system at {note.helo_name}, message {note.queue_id}"]
    return "\n".join(lines) + "\n"


def _reference(header: bytes) -> str:
    """Return the Message-ID of the original, so that mail programs show the notification beside it."""
    found = _MESSAGE_ID.fullmatch(HeaderBlock(header).first(b"message-id"))
    return found[0].decode("ascii") if found else ""


def _top(note: Notification, subject: str, content_type: str, header: bytes) -> str:
    lines = [
        f"Date: {date_text(note.now)}\n",
        f"From: Mail Delivery System <{ascii_address(note.postmaster)}>\n",
        f"To: {ascii_mailbox(one_line(note.to, 320))}\n",
        f"Subject: {subject}\n",
        f"Message-ID: <{note.token}@{note.helo_name}>\n",
        f"Auto-Submitted: {'auto-replied' if note.answers else 'auto-generated'}\n",  # RFC 3834 5
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
    """Return True if the notification needs 8BITMIME because of its words, the quoted header or the quoted body."""
    return content_8bit or not quoted.isascii() or not _words(note).isascii()


def compose(
    note: Notification, header: bytes, content: Iterable[bytes] | None = None, *, content_8bit: bool = False
) -> Iterator[bytes]:
    """Yield the notification in pieces, with LF line ends; all recipients in it have the same action.

    `header` is the header block of the original message. `content` is the whole message in pieces, for RET=FULL.
    """
    outer_8bit = eight_bit(note, header, content_8bit=content_8bit)
    boundary = f"=_{note.token}"
    encoding = "Content-Transfer-Encoding: 8bit\n" if outer_8bit else ""
    kind = f'Content-Type: multipart/report; report-type=delivery-status;\n\tboundary="{boundary}"\n{encoding}\n'
    top = _top(note, _SUBJECTS[note.statuses[0].action], kind, header)
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
    yield from (header,) if content is None else content
    yield f"\n--{boundary}--\n".encode()


def plain_notice(note: Notification, subject: str, words: str, quoted: str = "") -> bytes:
    """Return a message in plain words. `quoted` are lines of another message; `note.statuses` is not used."""
    text = "\n\n".join("\n".join(_wrapped(one_line(part, 4000))) for part in words.split("\n\n")) + "\n"
    lines = [f"> {piece}" for line in quoted.splitlines() for piece in _wrapped(one_line(line))] if quoted else []
    text += "\n" + "\n".join(lines) + "\n" if lines else ""
    shown = " ".join(ascii_address(word) if "@" in word else word for word in subject.split())
    return (_top(note, _ascii_line(shown), _text_part(text), b"")).encode()

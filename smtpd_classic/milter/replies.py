"""The replies of a filter, parsed. All functions are pure; what the protocol does not allow raises BadPacket."""

import re
import struct
from dataclasses import dataclass
from enum import Enum

from smtpd_classic.milter.packets import (
    ADD_HEADERS,
    ADD_RECIPIENTS,
    CHANGE_HEADERS,
    DELETE_RECIPIENTS,
    QUARANTINE,
    BadPacket,
    Packet,
    shown_command,
)
from smtpd_classic.smtp.address import BadAddress, parse_path

__all__ = [
    "AddRecipient",
    "Change",
    "ChangeField",
    "DeleteRecipient",
    "FilterAction",
    "InsertField",
    "Quarantine",
    "Refusal",
    "Verdict",
    "change",
    "misplaced",
    "verdict",
]

_INDEX = struct.Struct("!I")
_REPLY_LINE = re.compile(r"([45]\d\d)([ -]|$)(?:([245]\.\d{1,3}\.\d{1,3})(?: |$))?(.*)")
_NAME = re.compile(rb"[!-9;-~]{1,200}")
_MOST_LINES = 32
_LONGEST_LINE = 400
_MOST_OCTETS = 65536  # of a field


class FilterAction(Enum):
    """The decisions of a filter that end its part, and `CONTINUE`."""

    CONTINUE = "continue"
    ACCEPT = "accept"
    DISCARD = "discard"
    REFUSE = "refuse"
    SKIP = "skip"


@dataclass(frozen=True, slots=True)
class Refusal:
    """The reply for the client: a code of 4xx or 5xx, its enhanced status code, and clean text in lines."""

    code: int
    enhanced: str
    text: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """A decision; `refusal` belongs to REFUSE."""

    action: FilterAction
    refusal: Refusal | None = None


@dataclass(frozen=True, slots=True)
class InsertField:
    """A new field at a position; position -1: at the end."""

    position: int
    name: bytes
    value: bytes


@dataclass(frozen=True, slots=True)
class ChangeField:
    """Another value for a field, the `occurrence`-th of its name; a blank value deletes it."""

    occurrence: int
    name: bytes
    value: bytes


@dataclass(frozen=True, slots=True)
class AddRecipient:
    path: str


@dataclass(frozen=True, slots=True)
class DeleteRecipient:
    path: str


@dataclass(frozen=True, slots=True)
class Quarantine:
    reason: str


Change = InsertField | ChangeField | AddRecipient | DeleteRecipient | Quarantine

_CONTINUE, _ACCEPT = Verdict(FilterAction.CONTINUE), Verdict(FilterAction.ACCEPT)
_FIXED = {
    b"c": _CONTINUE,
    b"a": _ACCEPT,
    b"d": Verdict(FilterAction.DISCARD),
    b"s": Verdict(FilterAction.SKIP),
    b"r": Verdict(FilterAction.REFUSE, Refusal(550, "5.7.1", "A filter refuses the message; ask the postmaster.")),
    b"t": Verdict(FilterAction.REFUSE, Refusal(451, "4.7.1", "A filter cannot take the message now; try again later.")),
}
_NEEDS = {
    b"h": ADD_HEADERS,
    b"i": ADD_HEADERS,
    b"m": CHANGE_HEADERS,
    b"+": ADD_RECIPIENTS,
    b"-": DELETE_RECIPIENTS,
    b"q": QUARANTINE,
}
_CHANGES = {
    b"h": "a new field of the header",
    b"i": "a new field of the header",
    b"m": "a change of the header",
    b"+": "a new recipient",
    b"-": "a recipient to remove",
    b"q": "a quarantine",
    b"b": "a new body",
    b"2": "a new recipient with parameters",
    b"e": "a new sender",
    b"O": "its negotiation",
}


def verdict(reply: Packet) -> Verdict | None:
    """Return the decision; None for a reply that is none (a change, or progress)."""
    if reply.command == b"y":
        return Verdict(FilterAction.REFUSE, _refusal(reply.data))
    if reply.command in {b"f", b"4"}:  # it wants the connection closed, which would end the whole session
        return Verdict(FilterAction.REFUSE, Refusal(451, "4.7.1", "A filter ends the session; try again later."))
    return _FIXED.get(reply.command)


def _refusal(data: bytes) -> Refusal:
    """Clean a reply of its own: CR, NUL, control characters, doubled per cents, and 421, which would end the
    session."""
    said = data.split(b"\0", 1)[0].decode("utf-8", "replace")
    cleaned = [_clean(line) for line in said.split("\n")[:_MOST_LINES]]
    lines = [_REPLY_LINE.fullmatch(line) for line in cleaned]
    first = lines[0] if lines else None
    if first is None:
        raise BadPacket(f"a reply without a code of 4xx or 5xx: “{cleaned[0][:60] if cleaned else ''}”")
    codes = {line[1]: None for line in lines if line is not None}
    if len(codes) > 1:
        raise BadPacket(f"one reply with the codes {' and '.join(codes)}")
    code = 451 if first[1] == "421" else int(first[1])
    enhanced = first[3] or ""
    if enhanced[:1] != first[1][0]:
        enhanced = f"{first[1][0]}.7.1"
    words = [
        (text if line is None else line[4])[:_LONGEST_LINE].strip() for line, text in zip(lines, cleaned, strict=True)
    ]
    text = "\n".join(each for each in words if each)
    return Refusal(code, enhanced, text or "A filter refuses the message; ask the postmaster.")


def _clean(line: str) -> str:
    line = line.rstrip("\r").replace("\r", " ").replace("%%", "\0").replace("%", "").replace("\0", "%")
    return "".join(each if " " <= each <= "~" else "?" for each in line)


def misplaced(reply: Packet) -> BadPacket:
    """Return the error for a reply that is no decision, before the end of the message."""
    if reply.command in _CHANGES:
        return BadPacket(f"{_CHANGES[reply.command]} before the end of the message")
    return BadPacket(f"{shown_command(reply.command)}, which the protocol does not have")


def change(reply: Packet, actions: int) -> Change:
    """Return the change that a filter asks for at the end of the message."""
    needed = _NEEDS.get(reply.command)
    if reply.command == b"b":
        raise BadPacket("a new body, which this server does not take; set it up to leave the body as it is")
    if needed is None:
        known = reply.command in _CHANGES
        raise BadPacket(
            f"{shown_command(reply.command)}, which {'was not offered' if known else 'the protocol does not have'}"
        )
    if not actions & needed:
        raise BadPacket(f"{_CHANGES[reply.command]}, which it did not ask for in the negotiation")
    data = reply.data
    if reply.command == b"h":
        return InsertField(-1, *_field(data))
    if reply.command == b"i":
        return InsertField(_index(data), *_field(data[4:]))
    if reply.command == b"m":
        return ChangeField(max(_index(data), 1), *_field(data[4:]))
    word = _strings(data)[0]
    if reply.command == b"q":
        return Quarantine(_clean(word.decode("utf-8", "replace"))[:200])
    path = _path(word)
    return AddRecipient(path) if reply.command == b"+" else DeleteRecipient(path)


def _index(data: bytes) -> int:
    if len(data) < _INDEX.size:
        raise BadPacket("a change of the header without its place")
    return int(_INDEX.unpack_from(data)[0])


def _field(data: bytes) -> tuple[bytes, bytes]:
    words = _strings(data)
    if len(words) < 2 or not _NAME.fullmatch(words[0]):
        raise BadPacket(f"a field of the header without a proper name: {_quoted(words[0])}")
    if len(words[1]) > _MOST_OCTETS:
        raise BadPacket(f"a field of the header with {len(words[1])} octets, where {_MOST_OCTETS} are allowed")
    return words[0], words[1]


def _strings(data: bytes) -> list[bytes]:
    if not data.endswith(b"\0"):
        raise BadPacket("a text without its end")
    return data[:-1].split(b"\0")


def _path(word: bytes) -> str:
    path = word.decode("utf-8", "replace").strip().removeprefix("<").removesuffix(">")
    try:
        return parse_path(path, utf8=True)
    except BadAddress as problem:
        raise BadPacket(f"a recipient that is no address: {_quoted(word)}, {problem}") from None


def _quoted(word: bytes) -> str:
    return f"“{_clean(word.decode('utf-8', 'replace'))[:80]}”"

"""The octets of the milter protocol, version 6: packets, negotiation, and the commands of an MTA.

A packet is a length of four octets, one octet for the command, and its data. All functions are pure.
"""

import struct
from collections.abc import Iterable, Mapping
from typing import NamedTuple

__all__ = [
    "ACTIONS",
    "BODY_CHUNK",
    "STEPS",
    "VERSION",
    "BadPacket",
    "Negotiated",
    "Packet",
    "PacketReader",
    "StepFlag",
    "connect",
    "envelope_address",
    "header_field",
    "macros",
    "negotiated",
    "offer",
    "packet",
    "shown_command",
    "text",
]

VERSION = 6
_FIRST_WITH_DATA = 4
BODY_CHUNK = 65535
_LONGEST = 1024 * 1024  # the longest packet that a filter may send
_LENGTH = struct.Struct("!I")
_NEGOTIATION = struct.Struct("!III")

ADD_HEADERS, CHANGE_BODY, ADD_RECIPIENTS, DELETE_RECIPIENTS, CHANGE_HEADERS, QUARANTINE = (1 << bit for bit in range(6))
SET_SYMBOLS = 0x100
# libmilter ends the connection if an action is missing that its filter names, even if it would not use it: so the
# change of the body is offered too, and a filter that asks for one fails.
ACTIONS = ADD_HEADERS | CHANGE_BODY | ADD_RECIPIENTS | DELETE_RECIPIENTS | CHANGE_HEADERS | QUARANTINE | SET_SYMBOLS


class StepFlag:
    """The flags by which a filter says which steps it leaves out, and which it does not answer."""

    NO_CONNECT, NO_HELO, NO_MAIL, NO_RCPT, NO_BODY, NO_HEADERS, NO_END_OF_HEADER, UNANSWERED_HEADER = (
        1 << bit for bit in range(8)
    )
    NO_UNKNOWN, NO_DATA, SKIP = 0x100, 0x200, 0x400
    UNANSWERED_CONNECT, UNANSWERED_HELO, UNANSWERED_MAIL, UNANSWERED_RCPT = 0x1000, 0x2000, 0x4000, 0x8000
    UNANSWERED_DATA, UNANSWERED_UNKNOWN, UNANSWERED_END_OF_HEADER, UNANSWERED_BODY = 0x10000, 0x20000, 0x40000, 0x80000
    LEADING_SPACE = 0x100000


STEPS = 0x1FFFFF & ~0x800  # all but the one by which a filter asks for refused recipients


class BadPacket(Exception):
    """Raised when a filter sends what the protocol does not allow."""


class Packet(NamedTuple):
    """A command or reply: one octet, and its data."""

    command: bytes
    data: bytes


class PacketReader:
    """The packets in a stream of octets."""

    __slots__ = ("_held",)

    def __init__(self) -> None:
        self._held = bytearray()

    def feed(self, data: bytes) -> None:
        self._held += data

    def next(self) -> Packet | None:
        """Return the next packet, None if it is not complete. Raises BadPacket for an impossible length."""
        held = self._held
        if len(held) < 4:
            return None
        (length,) = _LENGTH.unpack_from(held)
        if not 1 <= length <= _LONGEST:
            raise BadPacket(f"a packet of {length} octets, where 1 to {_LONGEST} are allowed")
        if len(held) < 4 + length:
            return None
        found = Packet(bytes(held[4:5]), bytes(held[5 : 4 + length]))
        del held[: 4 + length]
        return found

    @property
    def is_empty(self) -> bool:
        return not self._held


class Negotiated(NamedTuple):
    """The result of the negotiation. `symbols` are the macros that the filter wants, by the number of the stage."""

    version: int
    actions: int
    steps: int
    symbols: Mapping[int, tuple[str, ...]]

    def skips(self, step: int) -> bool:
        return bool(self.steps & step)


def packet(command: bytes, data: bytes = b"") -> bytes:
    return _LENGTH.pack(1 + len(data)) + command + data


def offer() -> bytes:
    """Return the packet that begins the negotiation."""
    return packet(b"O", _NEGOTIATION.pack(VERSION, ACTIONS, STEPS))


def negotiated(answer: Packet) -> Negotiated:
    """Parse the answer to `offer()`. Raises BadPacket."""
    if answer.command != b"O" or len(answer.data) < _NEGOTIATION.size:
        raise BadPacket(f"{shown_command(answer.command)} with {len(answer.data)} octets in place of its negotiation")
    version, actions, steps = _NEGOTIATION.unpack_from(answer.data)
    if not 2 <= version <= VERSION:
        raise BadPacket(f"protocol version {version}, where 2 to {VERSION} are known")
    if version < _FIRST_WITH_DATA:  # an older filter ignores the command, so that its answer would be awaited in vain
        steps |= StepFlag.NO_DATA
    return Negotiated(version, actions & ACTIONS, steps & STEPS, _symbols(answer.data[_NEGOTIATION.size :]))


def _symbols(data: bytes) -> dict[int, tuple[str, ...]]:
    found: dict[int, tuple[str, ...]] = {}
    while len(data) > 4:
        (stage,) = _LENGTH.unpack_from(data)
        names, end, data = data[4:].partition(b"\0")
        if not end:
            raise BadPacket("a list of macros without its end")
        found[stage] = tuple(names.decode("latin-1").replace(",", " ").split())
    return found


def text(*words: str | bytes) -> bytes:
    """Return the words as C strings. A NUL within a word is left out."""
    octets = (word if isinstance(word, bytes) else word.encode("utf-8", "surrogateescape") for word in words)
    return b"".join(each.replace(b"\0", b"") + b"\0" for each in octets)


def macros(command: bytes, values: Iterable[tuple[str, str]]) -> bytes:
    """Return the packet with the macros of a command; nothing if there are none."""
    data = b"".join(text(name if len(name) == 1 else f"{{{name}}}", value) for name, value in values)
    return packet(b"D", command + data) if data else b""


def connect(name: str, ip: str, port: int) -> bytes:
    family = b"6" if ":" in ip else b"4"
    return packet(b"C", text(name) + family + struct.pack("!H", port) + text(ip))


def envelope_address(command: bytes, path: str, parameters: Iterable[str]) -> bytes:
    """Return MAIL (M) or RCPT (R) with its ESMTP parameters."""
    return packet(command, text(f"<{path}>", *parameters))


def header_field(name: bytes, value: bytes, *, leading_space: bool) -> bytes:
    return packet(b"L", text(name, value if leading_space else value.lstrip(b" \t")))


def shown_command(command: bytes) -> str:
    """Return a reply's letter for a sentence, with its number if it cannot be printed."""
    return f"the reply “{command.decode()}”" if b" " < command <= b"~" else f"the reply 0x{command.hex()}"

"""A message on its way to the server, and its completion."""

from collections.abc import Iterator
from typing import NamedTuple, Protocol

from smtpd_classic.message.headers import HeaderBlock, end_of_header_block
from smtpd_classic.message.phrase import phrase
from smtpd_classic.submission.header import is_qualified, with_domain

__all__ = ["HeaderTooLong", "Parts", "SubmittedBody", "SubmittedMessage", "completed", "content", "qualified", "split"]

LONGEST_HEADER = 16 * 1024 * 1024  # a hundred thousand recipients in To; the server takes much less of what is left
_FIRST_LOOK = 64 * 1024


class HeaderTooLong(ValueError):
    """No end of the header in sight."""


class SubmittedBody(Protocol):
    """Octets with LF line ends that can be read more than once."""

    @property
    def size(self) -> int: ...

    def read(self, offset: int, size: int) -> bytes: ...


class Parts(NamedTuple):
    """The header block without the empty line after it, and where in the `SubmittedBody` the text begins."""

    header: bytes
    text: int


class SubmittedMessage(NamedTuple):
    """A message to be sent. Sender and recipients may be without a domain; a blank sender is the null sender.

    `name` is the sender's full name on one line, for a From that is missing. `notify`, `ret` and
    `envid` are RFC 3461's, as they go into the commands; `eight_bit` tells of the content.
    """

    sender: str
    recipients: tuple[str, ...]
    header: bytes
    body: SubmittedBody
    text: int
    eight_bit: bool
    name: str = ""
    notify: str = ""
    ret: str = ""
    envid: str = ""

    @property
    def size(self) -> int:
        """Of header, empty line and text."""
        return len(self.header) + 1 + self.body.size - self.text


def split(body: SubmittedBody) -> Parts:
    """Split off the header: it ends at the empty line, or at the first line that is no field. Raises HeaderTooLong.

    So a message that begins with its text has an empty header, as with other mail servers. The line “From …” of an mbox
    file is left out.
    """
    head = body.read(0, _FIRST_LOOK)
    end = end_of_header_block(head)
    if end < 0 and body.size > len(head):
        head = body.read(0, LONGEST_HEADER)
        end = end_of_header_block(head)
    raw = head if end < 0 else head[:end]
    strict = HeaderBlock(raw).strict_end
    if strict == LONGEST_HEADER:
        raise HeaderTooLong(f"no empty line within the first {LONGEST_HEADER} octets")
    begin = raw.index(b"\n") + 1 if raw.startswith((b"From ", b">From ")) and b"\n" in raw else 0
    text = strict + 1 if head[strict : strict + 1] == b"\n" else strict
    header = raw[begin:strict]
    return Parts(header if header.endswith(b"\n") or not header else header + b"\n", text)


def qualified(address: str, domain: str) -> str:
    """With the domain of this server, where there is none."""
    return f"{address}@{domain}" if address and not is_qualified(address) else address


def completed(message: SubmittedMessage, domain: str) -> bytes:
    """Return the header with a From, and with a domain in every address. The server adds the other fields, because it
    knows the time and the queue id."""
    block = HeaderBlock(message.header)
    resent = any(block.has(name) for name in (b"resent-to", b"resent-cc", b"resent-bcc"))
    name = "Resent-From" if resent else "From"
    if block.has(name.lower().encode()) or not message.sender:
        return with_domain(message.header, domain)
    address = qualified(message.sender, domain).encode("utf-8", "surrogateescape")
    display = phrase(message.name)
    value = display + b" <" + address + b">" if display else address
    return with_domain(message.header, domain) + name.encode() + b": " + value + b"\n"


def content(message: SubmittedMessage, domain: str) -> Iterator[bytes]:
    """Yield the whole message, in pieces, with LF line ends."""
    yield completed(message, domain) + b"\n"
    at = message.text
    while piece := message.body.read(at, _FIRST_LOOK):
        at += len(piece)
        yield piece

"""The client's side of the wire: replies out of octets, and what EHLO was answered.

A server is a stranger too: lines and replies have limits, and the text of a reply holds nothing that is not printable,
so that it may go into logs, notifications and terminals. Line ends are taken as they come.
"""

import re
from dataclasses import dataclass

from smtpd_classic.smtp.reply import Reply

__all__ = ["BadReply", "Offered", "ReplyParser", "parse_ehlo"]

_MAX_LINE = 2000  # RFC 5321 4.5.3.1.5 says 512
_MAX_LINES = 200
_LINE = re.compile(r"([2-5][0-9]{2})(?:([ -])(.*))?", re.DOTALL)
_ENHANCED = re.compile(r"([245])\.[0-9]{1,3}\.[0-9]{1,3}(?= |$)")  # RFC 2034 4


class BadReply(Exception):
    """What came is no reply of SMTP."""


class ReplyParser:
    """`receive_data()`, then `next_reply()` until it is None. After BadReply the connection is of no use."""

    def __init__(self) -> None:
        self._buffer = b""
        self._lines: list[str] = []

    def receive_data(self, data: bytes) -> None:
        self._buffer += data

    def next_reply(self) -> Reply | None:
        """The next whole reply; the code of its last line counts. Raises BadReply."""
        while True:
            line, end, rest = self._buffer.partition(b"\n")
            if len(line) > _MAX_LINE:
                raise BadReply(f"a line of more than {_MAX_LINE} octets")
            if not end:
                return None
            self._buffer = rest
            text = _printable(line.removesuffix(b"\r").decode("utf-8", "replace"))
            match = _LINE.fullmatch(text)
            if match is None:
                raise BadReply(f"“{text[:80]}”")
            self._lines.append(match[3] or "")
            if len(self._lines) > _MAX_LINES:
                raise BadReply(f"more than {_MAX_LINES} lines")
            if match[2] != "-":
                lines, self._lines = self._lines, []
                return _reply(int(match[1]), lines)


def _printable(text: str) -> str:
    return text if text.isprintable() else "".join(char if char.isprintable() else "?" for char in text)


def _reply(code: int, lines: list[str]) -> Reply:
    """With the enhanced status code taken out of the text, where it fits the code."""
    match = _ENHANCED.match(lines[-1])
    if match is None or match[1] != str(code)[0]:
        return Reply(code, "", "\n".join(lines))
    enhanced = match[0]
    if len(lines) == 1:
        return Reply(code, enhanced, lines[0][len(enhanced) :].removeprefix(" "))
    return Reply(code, enhanced, "\n".join(line.removeprefix(enhanced).removeprefix(" ") for line in lines))


@dataclass(frozen=True, slots=True)
class Offered:
    """What a server announces; nothing after HELO. `size` and `max_recipients` are 0 when no limit is named."""

    names: frozenset[str] = frozenset()
    has_size: bool = False
    size: int = 0
    auth: tuple[str, ...] = ()
    max_recipients: int = 0
    starttls: bool = False
    pipelining: bool = False
    eight_bit_mime: bool = False
    smtputf8: bool = False
    chunking: bool = False
    dsn: bool = False
    enhanced_status_codes: bool = False


def parse_ehlo(reply: Reply) -> Offered:
    """The lines behind the first (RFC 5321 4.1.1.1). What cannot be read is not offered."""
    keywords: dict[str, list[str]] = {}
    for line in reply.text.split("\n")[1:]:
        words = line.replace("AUTH=", "AUTH ").upper().split()  # AUTH=LOGIN: what old servers say to old clients
        if words:
            keywords.setdefault(words[0], []).extend(words[1:])
    return Offered(
        names=frozenset(keywords),
        has_size="SIZE" in keywords,
        size=_number(*keywords.get("SIZE", [])[:1]),
        auth=tuple(dict.fromkeys(keywords.get("AUTH", []))),
        max_recipients=_max_recipients(keywords.get("LIMITS", [])),
        starttls="STARTTLS" in keywords,
        pipelining="PIPELINING" in keywords,
        eight_bit_mime="8BITMIME" in keywords,
        smtputf8="SMTPUTF8" in keywords,
        chunking="CHUNKING" in keywords,
        dsn="DSN" in keywords,
        enhanced_status_codes="ENHANCEDSTATUSCODES" in keywords,
    )


def _max_recipients(limits: list[str]) -> int:
    """LIMITS RCPTMAX=n (RFC 9422 4.2)."""
    for limit in limits:
        name, _, value = limit.partition("=")
        if name == "RCPTMAX":
            return _number(value)
    return 0


def _number(text: str = "") -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 20 else 0

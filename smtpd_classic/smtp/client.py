"""The client's side of the wire: the replies in the octets of a server, and the extensions that EHLO announces.

Servers are not trusted either: a line of any length and a reply of any number of lines are read, and a bounded
beginning of their text is kept. The text holds printable characters alone, so that it may go into logs, notifications
and terminals. A line may end with LF alone.
"""

import re
from dataclasses import dataclass

from smtpd_classic.smtp.reply import Reply

__all__ = ["BadReply", "Offered", "ReplyParser", "parse_ehlo"]

_KEPT_OF_LINE = 2000  # octets; RFC 5321 4.5.3.1.5 allows 512
_KEPT_LINES = 200
_KEPT = 8 * 1024  # octets of one reply
_LINE = re.compile(r"([2-5][0-9]{2})(?:([ -])(.*))?", re.DOTALL)
_USUAL_LINE = re.compile(rb"([2-5][0-9]{2})([ -])([ -~]*)\r?")
_ENHANCED = re.compile(r"([245])\.[0-9]{1,3}\.[0-9]{1,3}(?= |$)")  # RFC 2034 4


class BadReply(Exception):
    """Raised if the octets are no reply of SMTP."""


class ReplyParser:
    """The parser of one connection: `receive_data()`, then `next_reply()` until it is None.

    After BadReply the connection cannot be used.
    """

    def __init__(self) -> None:
        self._buffer = b""
        self._line = b""  # the beginning of the current line
        self._lines: list[str] = []
        self._kept = 0

    def receive_data(self, data: bytes) -> None:
        self._buffer += data

    def next_reply(self) -> Reply | None:
        """Return the next whole reply, with the code of its last line. Raises BadReply."""
        while True:
            piece, end, self._buffer = self._buffer.partition(b"\n")
            self._line += piece[: _KEPT_OF_LINE - len(self._line)]
            if not end:
                if len(self._line) == _KEPT_OF_LINE:
                    _parsed(self._line)  # reject a line before its end, if it cannot be a reply
                return None
            code, more, text = _parsed(self._line)
            self._line = b""
            if not more and not self._lines:  # the usual case
                return _reply(code, [text], text)
            self._keep(text)
            if not more:
                lines, self._lines, self._kept = self._lines, [], 0
                return _reply(code, lines, text)

    def _keep(self, text: str) -> None:
        if len(self._lines) == _KEPT_LINES or self._kept >= _KEPT:
            return
        octets = text.encode()
        if self._kept + len(octets) > _KEPT:
            octets = octets[: _KEPT - self._kept]
            text = octets.decode("utf-8", "ignore")
        self._kept += len(octets) + 1
        self._lines.append(text)


def _parsed(line: bytes) -> tuple[int, bool, str]:
    """Return the code, True if more lines follow, and the text of a line. Raises BadReply."""
    usual = _USUAL_LINE.fullmatch(line)
    if usual is not None:
        return int(usual[1]), usual[2] == b"-", usual[3].decode("ascii")
    cut = len(line) == _KEPT_OF_LINE
    text = _printable(line.removesuffix(b"\r").decode("utf-8", "ignore" if cut else "replace"))
    match = _LINE.fullmatch(text)
    if match is None:
        raise BadReply(f"“{text[:80]}”")
    return int(match[1]), match[2] == "-", match[3] or ""


def _printable(text: str) -> str:
    return text if text.isprintable() else "".join(char if char.isprintable() else "?" for char in text)


def _reply(code: int, lines: list[str], last: str) -> Reply:
    """Return the reply, with the enhanced status code taken out of the text if it fits the code."""
    match = _ENHANCED.match(last)
    if match is None or match[1] != str(code)[0]:
        return Reply(code, "", "\n".join(lines))
    enhanced = match[0]
    if len(lines) == 1:
        return Reply(code, enhanced, lines[0].removeprefix(enhanced).removeprefix(" "))
    return Reply(code, enhanced, "\n".join(line.removeprefix(enhanced).removeprefix(" ") for line in lines))


@dataclass(frozen=True, slots=True)
class Offered:
    """The extensions that a server announces, none after HELO. `size` and `max_recipients` are 0 without a limit."""

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
    """Return the extensions in the lines behind the first (RFC 5321 4.1.1.1). An unreadable line announces none."""
    keywords: dict[str, list[str]] = {}
    for line in reply.text.split("\n")[1:]:
        words = line.replace("AUTH=", "AUTH ").upper().split()  # AUTH=LOGIN: the form of old servers for old clients
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
    """Return n of LIMITS RCPTMAX=n (RFC 9422 4.2)."""
    for limit in limits:
        name, _, value = limit.partition("=")
        if name == "RCPTMAX":
            return _number(value)
    return 0


def _number(text: str = "") -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 20 else 0

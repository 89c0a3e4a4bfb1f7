"""Plays dialogues: what a client says and what a server answers, written as an administrator would note it down.

A dialogue is a text file. Each line begins with a mark; blank lines and lines that begin with `#` are comments.

    % name value    a setting of the scene, before the first line of the dialogue. What it means is the business of who
                    sets the scene (tests/dialogs/scene.py for the session alone). A name may come more than once.
    C: text         the client sends this line and CR LF
    C- text         the same without the CR LF
    S: pattern      the server answers this line. `...` stands for anything. A code alone (`S: 250`) stands for one
                    whole reply with that code, whatever its text and however many lines it has.
    A: reply        the scene answers the next event with this reply (`A: 550 5.1.1 No such user`), or with a named
                    one of `smtp.replies` (`A: NO_SUCH_USER`). Only where the scene is the session alone.
    T: text         the client begins the TLS handshake (text: a comment)
    X: text         the server closes the connection, having said nothing more (text: a comment)

In what the client sends `\\r`, `\\n`, `\\0`, `\\t`, `\\\\` and `\\xHH` stand for octets and `{text*N}` for N times the
text. What the client sends before the first S: it sends without waiting for the banner.

Every dialogue is played WHOLE, all lines of a turn in one piece, and in SINGLE octets: it must come out the same.
Without T: and A: it can be played AT_ONCE too, everything that the client says in one piece.
"""

import re
from collections.abc import Callable, Iterator
from enum import Enum
from pathlib import Path
from typing import NamedTuple, Protocol

__all__ = ["Cut", "Dialogue", "Exchange", "Line", "Mark", "dialogues", "load", "parse", "play"]


class Mark(Enum):
    SEND = "C:"
    SEND_RAW = "C-"
    EXPECT = "S:"
    ANSWER = "A:"
    HANDSHAKE = "T:"
    CLOSED = "X:"


class Cut(Enum):
    WHOLE = "whole turns"
    SINGLE = "single octets"
    AT_ONCE = "all at once"


class Line(NamedTuple):
    number: int
    mark: Mark
    text: str

    @property
    def octets(self) -> bytes:
        """What the client sends."""
        return _octets(self.text) + (b"\r\n" if self.mark is Mark.SEND else b"")


class Dialogue(NamedTuple):
    name: str
    settings: tuple[tuple[str, str], ...]
    lines: tuple[Line, ...]

    def setting(self, name: str, default: str = "") -> str:
        """The last value of a setting."""
        return next((value for each, value in reversed(self.settings) if each == name), default)

    def all(self, name: str) -> tuple[str, ...]:
        return tuple(value for each, value in self.settings if each == name)

    @property
    def cuts(self) -> tuple[Cut, ...]:
        marks = {line.mark for line in self.lines}
        return tuple(cut for cut in Cut if cut is not Cut.AT_ONCE or not {Mark.HANDSHAKE, Mark.ANSWER} & marks)


class Exchange(Protocol):
    """The client's end of a connection; a socket, or a session in this very process."""

    def send(self, data: bytes) -> None: ...

    def receive_line(self) -> bytes:
        """The next line from the server with its CR LF; b"" when it has closed the connection."""

    def start_tls(self) -> None: ...

    def answer(self, reply: str) -> None:
        """Arrange for the next event to be answered so."""


def load(path: Path) -> Dialogue:
    return parse(path.read_text(encoding="utf-8"), path.stem)


def dialogues(folder: Path) -> list[Dialogue]:
    """All of a folder, sorted by name; a folder without any is a mistake."""
    found = [load(path) for path in sorted(folder.glob("*.txt"))]
    assert found, f"no dialogues in {folder}"
    return found


def parse(text: str, name: str) -> Dialogue:
    settings: list[tuple[str, str]] = []
    lines: list[Line] = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        mark, _, rest = line.partition(" ")
        if mark == "%" and not lines:
            key, _, value = rest.strip().partition(" ")
            settings.append((key, value.strip()))
        else:
            assert mark in {each.value for each in Mark}, f"{name}:{number}: “{line}” begins with no mark"
            lines.append(Line(number, Mark(mark), rest))
    assert lines, f"{name} is empty"
    return Dialogue(name, tuple(settings), tuple(lines))


def play(dialogue: Dialogue, exchange: Exchange, cut: Cut = Cut.WHOLE) -> None:
    """Raises AssertionError with what was said so far when the server says something else."""
    said: list[str] = []
    lines = list(dialogue.lines)
    if cut is Cut.AT_ONCE:  # but for the banner, which must be waited for
        first = next((i for i, line in enumerate(lines) if line.mark in {Mark.SEND, Mark.SEND_RAW}), 0)
        rest = lines[first:]
        lines[first:] = sorted(rest, key=lambda line: line.mark not in {Mark.SEND, Mark.SEND_RAW})
    unsent = b""
    for line in lines:
        if line.mark in {Mark.SEND, Mark.SEND_RAW}:
            unsent += line.octets
            said.append(f"C: {line.octets!r}")
            continue
        if line.mark is not Mark.ANSWER:
            _send(exchange, unsent, cut)
            unsent = b""
        try:
            said += _listen(line, exchange)
        except AssertionError as problem:
            story = "\n".join(said)
            raise AssertionError(f"{dialogue.name}:{line.number}: {problem}\n{story}") from None
    _send(exchange, unsent, cut)


def _send(exchange: Exchange, data: bytes, cut: Cut) -> None:
    if cut is Cut.SINGLE:
        for octet in data:
            exchange.send(bytes([octet]))
    elif data:
        exchange.send(data)


def _listen(line: Line, exchange: Exchange) -> Iterator[str]:
    if line.mark is Mark.ANSWER:
        exchange.answer(line.text.strip())
    elif line.mark is Mark.HANDSHAKE:
        exchange.start_tls()
    elif line.mark is Mark.CLOSED:
        heard = exchange.receive_line()
        assert not heard, f"the connection is open, and the server said {heard!r}"
    elif re.fullmatch("[2-5][0-9][0-9]", line.text):
        yield from _expect(lambda heard: heard.startswith(line.text), line, exchange)
    else:
        pattern = "(?s)" + ".*".join(re.escape(part) for part in line.text.split("..."))
        yield from _expect(lambda heard: re.fullmatch(pattern, heard) is not None, line, exchange, one=True)


def _expect(fits: Callable[[str], bool], line: Line, exchange: Exchange, *, one: bool = False) -> Iterator[str]:
    while True:
        heard = exchange.receive_line()
        assert heard.endswith(b"\r\n"), f"instead of “{line.text}” the server closed, or broke off: {heard!r}"
        text = heard[:-2].decode()
        assert fits(text), f"instead of “{line.text}” the server said “{text}”"
        yield f"S: {text}"
        if one or text[3:4] != "-":
            return


_ESCAPE = re.compile(rb"\\(?:x([0-9A-Fa-f]{2})|(.))|\{([^{}*]+)\*([0-9]+)\}")
_SHORT = {b"r": b"\r", b"n": b"\n", b"0": b"\0", b"t": b"\t", b"\\": b"\\", b"{": b"{"}


def _octets(text: str) -> bytes:
    def octets(match: re.Match[bytes]) -> bytes:
        if match[1]:
            return bytes([int(match[1], 16)])
        return match[3] * int(match[4]) if match[3] else _SHORT[match[2]]

    return _ESCAPE.sub(octets, text.encode())

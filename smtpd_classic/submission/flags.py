"""The flags of `sendmail`: those that mean something here, those that are taken and ignored, and no others.

They are read as getopt(3) does: a flag's value is the rest of its word or, when there is none, the next word; flags
without value may share a word; the first word that is no flag ends them.
"""

from collections.abc import Callable
from typing import NamedTuple

__all__ = ["BadFlags", "Flags", "parse"]

_ALONE = "GIUcimnstvx"
_WITH_VALUE = "ABCFLNORVXbefhopr"
_MODES = "mspiv"
_NOTIFY = frozenset({"SUCCESS", "FAILURE", "DELAY"})
_LONGEST_ENVID = 100  # RFC 3461 4.4


class BadFlags(ValueError):
    """Raised for flags that cannot be used; the text is a sentence for the user."""


class Flags(NamedTuple):
    """`mode` is m (send), s (SMTP on standard input), p (the queue), i (aliases) or q (flush); `which` selects what is
    flushed: I, R or S and a text. `sender` is None when not given."""

    mode: str = "m"
    sender: str | None = None
    name: str = ""
    config: str = ""
    recipients_in_header: bool = False
    dot_ends: bool = True
    verbose: bool = False
    notify: str = ""
    ret: str = ""
    envid: str = ""
    which: str = ""
    words: tuple[str, ...] = ()


def parse(words: list[str], *, mode: str = "m") -> Flags:
    """`mode` is the one that the program's name asks for. Raises BadFlags."""
    reader = _FlagParser(words, mode)
    reader.read()
    flags = Flags(**reader.found, words=tuple(reader.words))  # type: ignore[arg-type]
    if flags.mode == "v":
        raise BadFlags("-bv: addresses are not verified without sending; see smtpd-classic explain")
    return flags


class _FlagParser:
    __slots__ = ("found", "words")

    def __init__(self, words: list[str], mode: str) -> None:
        self.words = list(words)
        self.found: dict[str, object] = {"mode": mode}

    def read(self) -> None:
        while self.words and self.words[0].startswith("-") and self.words[0] != "-":
            word = self.words.pop(0)
            if word == "--":
                return
            self._word(word)

    def _word(self, word: str) -> None:
        at = 1
        while at < len(word):
            flag, rest = word[at], word[at + 1 :]
            if flag == "q":  # its value is never the next word
                self._flush(rest)
                return
            if flag in _WITH_VALUE:
                if not rest and not self.words:
                    raise BadFlags(f"-{flag} needs a value")
                self._with_value(flag, rest or self.words.pop(0))
                return
            if flag not in _ALONE:
                raise BadFlags(f"there is no flag -{flag if flag.isprintable() else '?'}")
            self._alone(flag)
            at += 1

    def _alone(self, flag: str) -> None:
        match flag:
            case "i":
                self.found["dot_ends"] = False
            case "t":
                self.found["recipients_in_header"] = True
            case "v":
                self.found["verbose"] = True
            case "I":
                self.found["mode"] = "i"

    def _with_value(self, flag: str, value: str) -> None:
        if flag == "o":
            self._option(value)
        elif flag == "B":
            _body(value)
        elif flag in _VALUES:
            name, read = _VALUES[flag]
            self.found[name] = read(value)

    def _option(self, value: str) -> None:
        """Of the many that sendmail had, two have a meaning; the others (-odq, -oem, -o7, …) are ignored."""
        if value == "i":
            self.found["dot_ends"] = False
        elif value == "t":
            self.found["recipients_in_header"] = True

    def _flush(self, which: str) -> None:
        """Flush the whole queue, also for -q30m, which means “every half hour” elsewhere. Raises BadFlags."""
        self.found["mode"] = "q"
        if which[:1] in {"I", "R", "S"}:
            if len(which) == 1:
                raise BadFlags(f"-q{which} needs an id or a part of an address")
            self.found["which"] = which
        elif which and not which[0].isdigit():
            raise BadFlags(f"-q{which if which.isprintable() else '?'}: known are -q, -qI, -qR and -qS")


def _mode(value: str) -> str:
    if value not in _MODES:
        hint = "; “service smtpd-classic start” starts the server" if value in {"d", "D"} else ""
        raise BadFlags(f"there is no mode -b{value if value.isprintable() else '?'}{hint}")
    return value


def _body(value: str) -> None:
    """Check the argument of -B, and ignore it: the message shows whether it has 8-bit text. Raises BadFlags."""
    if value.upper() not in {"7BIT", "8BITMIME"}:
        raise BadFlags("-B takes 7BIT or 8BITMIME")


def _notify(value: str) -> str:
    words = value.upper().split(",")
    if words != ["NEVER"] and not (_NOTIFY.issuperset(words) and len(set(words)) == len(words)):
        raise BadFlags("-N takes never, or any of success,failure,delay")
    return ",".join(words)


def _ret(value: str) -> str:
    word = value.upper()
    if word not in {"FULL", "HDRS"}:
        raise BadFlags("-R takes full or hdrs")
    return word


def _envid(value: str) -> str:
    """As xtext (RFC 3461 4)."""
    if not (value.isascii() and value.isprintable()) or not 0 < len(value) <= _LONGEST_ENVID:
        raise BadFlags(f"-V takes up to {_LONGEST_ENVID} printable ASCII characters")
    return "".join(char if "!" <= char <= "~" and char not in "+=" else f"+{ord(char):02X}" for char in value)


_VALUES: dict[str, tuple[str, Callable[[str], str]]] = {
    "b": ("mode", _mode),
    "f": ("sender", str),
    "r": ("sender", str),
    "C": ("config", str),
    "F": ("name", str),
    "N": ("notify", _notify),
    "R": ("ret", _ret),
    "V": ("envid", _envid),
}

"""The lines of Dovecot's authentication protocol, version 1: words between tabs, with escapes."""

from typing import NamedTuple

__all__ = ["AuthReply", "BadAuthLine", "ServerGreeting", "escaped", "parameter"]

_VERSION = "1"  # the major one; every minor version is understood
_ESCAPES = str.maketrans({"\0": "\x010", "\x01": "\x011", "\t": "\x01t", "\r": "\x01r", "\n": "\x01n"})
_UNESCAPED = {"0": "\0", "1": "\x01", "t": "\t", "r": "\r", "n": "\n"}
_ANSWERS = frozenset({"CONT", "FAIL", "NOTFOUND", "OK", "USER"})


class BadAuthLine(ValueError):
    """Raised for a line that does not belong to the protocol."""


class AuthReply(NamedTuple):
    """The answer to a request: OK, FAIL, CONT, USER or NOTFOUND, with the words behind its number."""

    word: str
    number: int
    words: tuple[str, ...]

    def value(self, name: str) -> str | None:
        """Return the value of a parameter: blank for one without a value, None if it is missing."""
        for word in self.words:
            key, _, value = word.partition("=")
            if key == name:
                return value
        return None


class ServerGreeting:
    """The lines before the first answer. `mechanisms` is complete when `is_complete` is True."""

    def __init__(self) -> None:
        self.is_complete = False
        self.mechanisms: tuple[str, ...] = ()

    def take(self, line: str) -> AuthReply | None:
        """Return the answer in a line, None for a line of the greeting. Raises BadAuthLine."""
        word, _, rest = line.partition("\t")
        if word in _ANSWERS:
            return _answer(word, rest)
        first = rest.partition("\t")[0]
        if word == "VERSION" and first != _VERSION:
            raise BadAuthLine(f"speaks version {first[:20]} of the protocol, not {_VERSION}")
        if word == "MECH":
            self.mechanisms = (*self.mechanisms, first.upper())
        elif word == "DONE":
            self.is_complete = True
        return None


def _answer(word: str, rest: str) -> AuthReply:
    number, *words = rest.split("\t")
    if not (number.isascii() and number.isdigit()):
        raise BadAuthLine(f"sent {word} without the number of a request")
    return AuthReply(word, int(number), tuple(map(_unescaped, words)))


def escaped(text: str) -> str:
    """Return a value as it stands between tabs."""
    return text.translate(_ESCAPES)


def _unescaped(text: str) -> str:
    if "\x01" not in text:
        return text
    first, *rest = text.split("\x01")
    return first + "".join(_UNESCAPED.get(part[:1], part[:1]) + part[1:] for part in rest)


def parameter(name: str, value: str) -> str:
    """Return `name=value` behind a tab; blank if there is no value."""
    return f"\t{name}={escaped(value)}" if value else ""

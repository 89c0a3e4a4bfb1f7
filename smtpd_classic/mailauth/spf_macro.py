"""SPF macros: the text with %{...} in a domain of a term or in an explanation (RFC 7208 7)."""

import ipaddress
import re
from collections.abc import Callable
from typing import NamedTuple
from urllib.parse import quote

__all__ = [
    "BadMacro",
    "MacroContext",
    "UnmatchableMacro",
    "check_domain_spec",
    "check_explanation",
    "check_macros",
    "expand",
    "host_spec",
]

_EXPANSION = r"%\{(?P<letter>[A-Za-z])(?P<digits>[0-9]*)(?P<reverse>[rR]?)(?P<delimiters>[.\-+,/_=]*)\}"
_PART = re.compile(rf"{_EXPANSION}|%(?P<escape>[%_-])|(?P<literal>[\x20-\x24\x26-\x7e]+)")
_TOP_LABEL = re.compile(r"\.(?:[A-Za-z0-9]*[A-Za-z][A-Za-z0-9]*|[A-Za-z0-9]+-[A-Za-z0-9-]*[A-Za-z0-9])\.?$")
_ESCAPES = {"%": "%", "_": " ", "-": "%20"}
_LETTERS, _EXPLANATION_LETTERS = frozenset("slodiphv"), frozenset("slodiphvcrt")
_LONGEST = 253


class BadMacro(ValueError):
    """The text is not a macro string."""


class UnmatchableMacro(Exception):
    """The expansion needs a local part that is not ASCII; a term with it matches nothing (RFC 8616 4)."""


class MacroContext(NamedTuple):
    """The values of the macros. `validated_name` is asked for %{p} only, which costs look-ups."""

    sender: str
    local: str
    sender_domain: str
    domain: str
    ip: str
    helo: str
    receiver: str
    now: int
    validated_name: Callable[[], str]

    def value(self, letter: str) -> str:
        """Return the value of a macro letter in lower case."""
        address = ipaddress.ip_address(self.ip)
        if letter in "sl" and not self.local.isascii():
            raise UnmatchableMacro
        if letter == "p":
            return self.validated_name()
        return {
            "s": self.sender,
            "l": self.local,
            "o": self.sender_domain,
            "d": self.domain,
            "i": self.ip if address.version == 4 else ".".join(address.exploded.replace(":", "").upper()),
            "h": self.helo,
            "v": "in-addr" if address.version == 4 else "ip6",
            "c": str(address),
            "r": self.receiver,
            "t": str(self.now),
        }[letter]


def check_macros(text: str, letters: frozenset[str] = _LETTERS) -> str:
    """Return the literal text at the end of a macro string. Raises BadMacro when the text is none."""
    at, literal = 0, ""
    while at < len(text):
        match = _PART.match(text, at)
        if match is None:
            raise BadMacro(f"“{text[at : at + 20]}” is not a macro")
        if match["letter"] is not None and (match["letter"].lower() not in letters or _is_zero(match["digits"])):
            raise BadMacro(f"“{match[0][:20]}” is not a macro")
        at, literal = match.end(), match["literal"] or ""
    return literal


def _is_zero(digits: str) -> bool:
    return bool(digits) and not digits.strip("0")


def check_domain_spec(text: str) -> None:
    """Raise BadMacro when the text is no domain-spec: a macro string that ends with a top label or an expansion.

    The escapes %%, %_ and %- are expansions as well (RFC 7208 7.1).
    """
    literal = check_macros(text)
    if not text or " " in text or (literal and not _TOP_LABEL.search(literal)):
        raise BadMacro(f"“{text[:40]}” is not a domain")


def check_explanation(text: str) -> None:
    """Raise BadMacro when the text is no explanation."""
    check_macros(text, _EXPLANATION_LETTERS)


def expand(text: str, context: MacroContext) -> str:
    """Return the text with its macros replaced. Raises UnmatchableMacro; the text has been checked before."""
    return _PART.sub(lambda match: _expanded(match, context), text)


def _expanded(match: re.Match[str], context: MacroContext) -> str:
    if match["literal"] is not None:
        return match["literal"]
    if match["escape"] is not None:
        return _ESCAPES[match["escape"]]
    letter = match["letter"]
    parts = re.split("[" + re.escape(match["delimiters"] or ".") + "]", context.value(letter.lower()))
    if match["reverse"]:
        parts.reverse()
    if match["digits"]:
        parts = parts[-min(int(match["digits"][:6]), len(parts)) :]
    value = ".".join(parts)
    return quote(value, safe="-._~") if letter.isupper() else value


def host_spec(text: str, context: MacroContext) -> str:
    """Return the expanded name of a host, shortened from the left to 253 characters (RFC 7208 7.3)."""
    name = expand(text, context).removesuffix(".")
    while len(name) > _LONGEST:
        _, dot, name = name.partition(".")
        if not dot:
            break
    return name

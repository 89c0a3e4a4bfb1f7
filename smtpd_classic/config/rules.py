"""Kinds of filter rules: the part of a message to look at, the action, and the text for each field."""

import re
from typing import NamedTuple

from smtpd_classic.config.hosts import NETWORKS, Network
from smtpd_classic.config.kind import Kind, list_of, one_line
from smtpd_classic.config.names import ADDRESS
from smtpd_classic.config.values import SIZE

__all__ = ["FILE_ENDINGS", "RULE_ACTION", "RULE_FIELD", "RuleAction", "client_networks", "size_bound"]

_FIELDS = ("from", "to", "sender", "recipient", "subject", "attachment", "client", "size")
_FIELD_NAME = re.compile(r"[!-9;-~]{1,76}")
_SIMPLE = ("junk", "refuse", "hold", "accept")
_WITH_ADDRESS = ("redirect", "copy")
_LONGEST_TEXT = 800


class RuleAction(NamedTuple):
    """The action of a rule, with its address, or the header field to add."""

    word: str
    argument: str = ""

    def __str__(self) -> str:
        return f"{self.word} {self.argument}".rstrip()


def _rule_field(text: str) -> str:
    word, _, name = text.strip().partition(" ")
    name = name.strip().removesuffix(":")
    if word.lower() == "header" and _FIELD_NAME.fullmatch(name):
        return f"header {name}"
    if word.lower() in _FIELDS and not name:
        return word.lower()
    raise ValueError(f"“{text}” is none of {', '.join(_FIELDS)}, or header and a name, as in “header X-Mailer”.")


def _rule_action(text: str) -> RuleAction:
    word, _, argument = one_line(text.strip()).partition(" ")
    word, argument = word.lower(), argument.strip()
    if word in _SIMPLE and not argument:
        return RuleAction(word)
    if word in _WITH_ADDRESS and argument:
        return RuleAction(word, ADDRESS.parse(argument))
    if word == "header":
        return RuleAction(word, _header_field(argument))
    raise ValueError(f"“{text}” is none of {', '.join(_SIMPLE)}, redirect ADDRESS, copy ADDRESS, header NAME: TEXT.")


def _header_field(text: str) -> str:
    name, colon, value = text.partition(":")
    value = value.strip()
    if not colon or not value or not _FIELD_NAME.fullmatch(name):
        raise ValueError("after “header”, write a field such as X-Note: checked.")
    if not value.isascii() or len(value) > _LONGEST_TEXT:
        raise ValueError(f"the text of a header field is ASCII, of {_LONGEST_TEXT} characters at most.")
    return f"{name}: {value}"


def client_networks(text: str) -> tuple[Network, ...]:
    """Return the networks of a rule about the client. Raises ValueError with a sentence."""
    found = NETWORKS.parse(text)
    if not found:
        raise ValueError("a rule about the client needs addresses or networks, such as 192.0.2.0/24.")
    return found


def size_bound(match: str, text: str) -> tuple[str, int]:
    """Return “over” or “under” and a size in octets. The word may stand before the size. Raises ValueError."""
    word, _, rest = text.strip().partition(" ")
    if word.lower() in {"over", "under"}:
        match, text = word.lower(), rest
    if match not in {"over", "under"}:
        raise ValueError("a rule about the size needs match = over or under, and a size such as 5M.")
    return match, SIZE.parse(text)


def _ending(text: str) -> str:
    word = "." + text.strip().lower().removeprefix("*").removeprefix(".")
    if not re.fullmatch(r"(\.[^\s.*?/\\:,]+)+", word) or len(word) > 40:
        raise ValueError(f"“{text}” is no ending of a file name, such as .exe.")
    return word


FILE_ENDINGS = list_of("list of endings of file names", _ending, str, ".exe, .js, .docm")
RULE_FIELD = Kind(f"{', '.join(_FIELDS)}, or header NAME", _rule_field, str, "subject")
RULE_ACTION = Kind(
    "junk, refuse, hold, accept, redirect ADDRESS, copy ADDRESS, or header NAME: TEXT", _rule_action, str, "junk"
)

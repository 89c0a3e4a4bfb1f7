"""Patterns of senders and of names in EHLO, in which * stands for any text."""

import re
from collections.abc import Iterable

from smtpd_classic.domain_name import spellings

__all__ = ["NamePatterns"]


def _expression(pattern: str) -> str:
    if "@" not in pattern and pattern.startswith("."):
        pattern = "*" + pattern
    return "".join(".*" if each == "*" else re.escape(each) for each in pattern)


class NamePatterns:
    """A list of patterns: an address matches its own pattern, that of its domain, and `.domain` of a domain above."""

    def __init__(self, patterns: Iterable[str]) -> None:
        self._patterns = tuple((each, re.compile(_expression(each), re.DOTALL)) for each in patterns)

    def __bool__(self) -> bool:
        return bool(self._patterns)

    def find(self, text: str) -> str:
        """Return the first pattern that the address or name matches, or blank."""
        local, at, domain = text.lower().rpartition("@")
        names = spellings(domain)
        for written, expression in self._patterns:
            start = f"{local}{at}" if "@" in written else ""
            if any(expression.fullmatch(f"{start}{name}") for name in names):
                return written
        return ""

"""Lists of domains, in which `example.org` is that domain alone, `.example.org` its sub-domains, and `.` or `*` all."""

from collections.abc import Iterable

from smtpd_classic.domain_name import comparable_domain

__all__ = ["Patterns"]


class Patterns:
    """A list of domains, compared label by label: `evilexample.org` is no sub-domain of `example.org`."""

    __slots__ = ("_order", "_written")

    def __init__(self, patterns: Iterable[str]) -> None:
        self._written: dict[str, str] = {}
        for pattern in patterns:
            self._written.setdefault("*" if pattern in {".", "*"} else comparable_domain(pattern), pattern)
        self._order = {key: number for number, key in enumerate(self._written)}

    def find(self, domain: str) -> str:
        """Return the first pattern of the list that the domain matches, as it was written, or blank."""
        if not self._written:
            return ""
        key = comparable_domain(domain)
        found = [each for each in (key, "*") if each in self._written]
        at = key.find(".")
        while at >= 0:
            if key[at:] in self._written:
                found.append(key[at:])
            at = key.find(".", at + 1)
        return self._written[min(found, key=self._order.__getitem__)] if found else ""

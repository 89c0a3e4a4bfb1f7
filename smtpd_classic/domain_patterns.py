"""Lists of domains, in which `example.org` is that domain alone, `.example.org` its sub-domains, and `.` or `*` all."""

from collections.abc import Iterable

from smtpd_classic.domain_name import comparable_domain

__all__ = ["DomainPatterns"]


class DomainPatterns:
    """A list of domains, compared label by label: `evilexample.org` is no sub-domain of `example.org`."""

    __slots__ = ("_written",)

    def __init__(self, patterns: Iterable[str]) -> None:
        self._written: dict[str, str] = {}
        for pattern in patterns:
            self._written.setdefault("*" if pattern in {".", "*"} else comparable_domain(pattern), pattern)

    def find(self, domain: str) -> str:
        """Return the pattern that says most about the domain, as it was written, or blank.

        The domain itself comes before its nearest parent, that before the next one, and all before `*`, whatever the
        order of the list.
        """
        if not self._written:
            return ""
        key = comparable_domain(domain)
        found = self._written.get(key, "")
        at = key.find(".")
        while at >= 0 and not found:
            found = self._written.get(key[at:], "")
            at = key.find(".", at + 1)
        return found or self._written.get("*", "")

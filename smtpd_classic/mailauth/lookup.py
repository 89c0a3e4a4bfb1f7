"""The questions of one message to DNS: counted, bounded in number and time, and each asked only once."""

import functools
import re
import time
from collections.abc import Callable
from typing import NamedTuple, Protocol, TypeVar, cast

from smtpd_classic.dns import DnsFailure, MxRecord, NoSuchDomain
from smtpd_classic.domain_name import ascii_domain

__all__ = ["DnsRecords", "Lookups", "TooManyQuestions", "ascii_name"]

MAX_QUESTIONS = 60
_LONGEST_NAME, _LONGEST_LABEL = 253, 63
_LEAST_S = 0.05
_KEPT_SHARE = 0.25
_NO_BOUND = float("inf")
_POLICY = "_dmarc."
_HOST_NAME = re.compile(r"[a-z0-9_.-]+")
_Answer = TypeVar("_Answer", tuple[bytes, ...], tuple[str, ...])


class DnsRecords(Protocol):
    """Source of DNS records: the part of `dns.Resolver` that is needed here.

    Every method returns an empty tuple when the name exists without such a record, and raises NoSuchDomain when the
    name does not exist, or DnsFailure when there is no usable answer.
    """

    def txt(self, name: str, *, timeout_s: float = 10.0) -> tuple[bytes, ...]:
        """Return the TXT records, the strings of each joined."""

    def address_records(self, host: str, version: int, *, timeout_s: float = 10.0) -> tuple[str, ...]:
        """Return the addresses of the A records (`version` 4) or the AAAA records (6)."""

    def mx_records(self, domain: str, *, timeout_s: float = 10.0) -> tuple[MxRecord, ...]:
        """Return the MX records by preference; a null MX has a blank host."""

    def ptr(self, ip: str, *, timeout_s: float = 10.0) -> tuple[str, ...]:
        """Return the host names of the PTR records of an address."""


class TooManyQuestions(DnsFailure):
    """The message has asked as many questions as one message may."""


class _NoAnswer(NamedTuple):
    """What is raised for a question. An exception that was kept would keep the frames through which it went, and those
    the message.
    """

    kind: type[NoSuchDomain] | type[DnsFailure]
    reason: str


class Lookups:
    """The DNS questions of one message. An answer is kept, so that a repeated question costs nothing.

    Rule 1: the time counts while a question waits for its answer, and not while the client sends.
    Rule 2: a part of the time and of the questions is kept for one domain and the names below it: that of the author.
    A sender chooses most of the other names, and slow answers to them must not hide the policy of that domain.
    """

    def __init__(
        self,
        records: DnsRecords,
        *,
        deadline_s: float = 10.0,
        max_questions: int = MAX_QUESTIONS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._records = records
        self._clock = clock
        self._left_s, self._kept_s = deadline_s, deadline_s * _KEPT_SHARE
        self._max, self._kept = max_questions, int(max_questions * _KEPT_SHARE)
        self._kept_for = ""
        self._answers: dict[tuple[str, str], tuple[bytes, ...] | tuple[str, ...] | _NoAnswer] = {}
        self.questions = 0

    def keep_for(self, domain: str) -> None:
        """Let questions about this domain, names below it and its DMARC policy use the part that is kept.

        Those that failed before are asked again: a record of the sender may have named them when its time was over.
        """
        self._kept_for = domain
        for key, found in tuple(self._answers.items()):
            if isinstance(found, _NoAnswer) and found.kind is not NoSuchDomain and self._is_kept(key[1]):
                del self._answers[key]

    def _is_kept(self, name: str) -> bool:
        domain, is_policy = name.removeprefix(_POLICY), name.startswith(_POLICY)
        if not self._kept_for:
            return False
        return f".{domain}".endswith(f".{self._kept_for}") or (is_policy and self._kept_for.endswith(f".{domain}"))

    def txt(self, name: str, longest_s: float = _NO_BOUND) -> tuple[bytes, ...]:
        """Return the TXT records of a name; wait no longer than `longest_s`. Raises NoSuchDomain or DnsFailure, as all
        methods do.
        """
        return self._ask(
            "TXT", name, lambda name, timeout_s: self._records.txt(name, timeout_s=min(timeout_s, longest_s))
        )

    def ipv4(self, name: str, longest_s: float = _NO_BOUND) -> tuple[str, ...]:
        """Return the addresses of the A records; wait no longer than `longest_s`."""

        def question(host: str, timeout_s: float) -> tuple[str, ...]:
            return self._records.address_records(host, 4, timeout_s=min(timeout_s, longest_s))

        return self._ask("A", name, question)

    def ipv6(self, name: str) -> tuple[str, ...]:
        """Return the addresses of the AAAA records."""
        return self._ask(
            "AAAA", name, lambda host, timeout_s: self._records.address_records(host, 6, timeout_s=timeout_s)
        )

    def exchangers(self, name: str) -> tuple[str, ...]:
        """Return the host names of the MX records."""
        return self._ask("MX", name, self._exchangers)

    def ptr(self, ip: str) -> tuple[str, ...]:
        """Return the names of the PTR records of an address."""
        return self._ask("PTR", ip, self._records.ptr)

    def _exchangers(self, name: str, timeout_s: float) -> tuple[str, ...]:
        return tuple(each.host for each in self._records.mx_records(name, timeout_s=timeout_s))

    def _ask(self, kind: str, name: str, question: Callable[..., _Answer]) -> _Answer:
        key = (kind, name.lower().removesuffix("."))
        kept = self._answers.get(key)
        if kept is None:
            kept = self._answers[key] = self._answer(kind, key[1], question)
        if isinstance(kept, _NoAnswer):
            raise kept.kind(kept.reason)
        return cast(_Answer, kept)

    def _answer(self, kind: str, name: str, question: Callable[..., _Answer]) -> _Answer | _NoAnswer:
        if kind != "PTR" and not _is_name(name):
            return _NoAnswer(NoSuchDomain, f"{name[:80]} is not a domain name")
        is_kept = kind != "PTR" and self._is_kept(name)
        rest_s = self._left_s - (0.0 if is_kept else self._kept_s)
        if rest_s < _LEAST_S:
            return _NoAnswer(DnsFailure, "the look-ups of this message took too long")
        if self.questions >= self._max - (0 if is_kept else self._kept):
            return _NoAnswer(TooManyQuestions, f"the message needs more than {self._max} DNS look-ups")
        self.questions += 1
        began = self._clock()
        try:
            return question(name, timeout_s=rest_s)
        except (NoSuchDomain, DnsFailure) as problem:
            return _NoAnswer(type(problem), str(problem))
        finally:
            self._left_s -= self._clock() - began


@functools.lru_cache(4096)
def _is_name(name: str) -> bool:
    return len(name) <= _LONGEST_NAME and all(0 < len(label) <= _LONGEST_LABEL for label in name.split("."))


def ascii_name(domain: str) -> str:
    """Return a domain as DNS knows it, or blank when it cannot be one with at least two labels."""
    try:
        name = ascii_domain(domain)
    except ValueError:
        return ""
    return name if "." in name and _HOST_NAME.fullmatch(name) and _is_name(name) else ""

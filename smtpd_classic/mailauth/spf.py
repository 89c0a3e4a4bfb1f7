"""SPF: whether a domain allows an address to send for it (RFC 7208).

The limits of RFC 7208 4.6.4 hold: 10 terms that ask DNS, 2 of them in vain, 10 names of an MX or PTR record; and 30
questions in all. Past one of them the result is `permerror`.
"""

import ipaddress
from typing import NamedTuple

from smtpd_classic.dns import DnsFailure, NoSuchDomain
from smtpd_classic.mailauth.lookup import Lookups, ascii_name
from smtpd_classic.mailauth.spf_macro import (
    BadMacro,
    MacroContext,
    UnmatchableMacro,
    check_explanation,
    expand,
    host_spec,
)
from smtpd_classic.mailauth.spf_record import BadSpfRecord, SpfRecord, SpfTerm, parse_spf_record, spf_records
from smtpd_classic.mailauth.words import ResultWord

__all__ = ["SpfQuery", "SpfResult", "check_spf"]

MAX_TERMS, MAX_VOID, MAX_NAMES, MAX_QUESTIONS = 10, 2, 10, 30
_WORDS = {"+": ResultWord.PASS, "-": ResultWord.FAIL, "~": ResultWord.SOFTFAIL, "?": ResultWord.NEUTRAL}

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class SpfResult(NamedTuple):
    """The result for one identity: `domain` was asked, `reason` says which term or problem decided."""

    word: ResultWord
    domain: str
    reason: str = ""
    explanation: str = ""
    by_helo: bool = False


class SpfQuery(NamedTuple):
    """One client and its reverse-path; `mail_from` is blank for the null sender, for which HELO stands."""

    ip: str
    mail_from: str
    helo: str
    receiver: str = "unknown"
    now: int = 0


class _PermError(Exception):
    """The records cannot be evaluated."""


def check_spf(query: SpfQuery, lookups: Lookups) -> SpfResult:
    """Return the result of SPF for the reverse-path, or for the name in HELO when that is null."""
    by_helo = not query.mail_from
    local, _, written = query.mail_from.rpartition("@") if query.mail_from else ("", "", query.helo)
    domain = ascii_name(written)
    if not domain or written.startswith("["):
        return SpfResult(ResultWord.NONE, written.lower(), "there is no domain to ask", by_helo=by_helo)
    evaluation = _Evaluation(query, local or "postmaster", domain, lookups)
    word, reason, explanation = evaluation.run()
    return SpfResult(word, domain, reason, explanation, by_helo)


class _Evaluation:
    """check_host() of RFC 7208 4 for one query, with its counters."""

    def __init__(self, query: SpfQuery, local: str, domain: str, lookups: Lookups) -> None:
        address = ipaddress.ip_address(query.ip.partition("%")[0])
        self._address: Address = getattr(address, "ipv4_mapped", None) or address
        self._query = query
        self._local = local
        self._sender_domain = domain
        self._lookups = lookups
        self._most_questions = lookups.questions + MAX_QUESTIONS
        self._terms = 0
        self._void = 0
        self._names: list[str] | None = None
        self._has_no_pointer = False  # DNS has answered that the client has no PTR record

    def run(self) -> tuple[ResultWord, str, str]:
        """Return the word, the reason for it, and the domain's explanation of a fail."""
        try:
            return self._check_host(self._sender_domain)
        except _PermError as problem:
            return ResultWord.PERMERROR, str(problem), ""
        except DnsFailure as failure:
            return ResultWord.TEMPERROR, str(failure), ""

    def _check_host(self, domain: str, *, explain: bool = True) -> tuple[ResultWord, str, str]:
        record = self._record(domain)
        if record is None:
            return ResultWord.NONE, f"{domain} has no SPF record", ""
        for term in record.terms:
            if self._matches(term, domain):
                word = _WORDS[term.qualifier]
                wanted = explain and word is ResultWord.FAIL and record.explanation
                return word, f"{domain}: {term.text}", self._explanation(record, domain) if wanted else ""
        if record.redirect and not any(term.name == "all" for term in record.terms):
            return self._redirect(record.redirect, domain, explain=explain)
        return ResultWord.NEUTRAL, f"{domain}: no mechanism matches", ""

    def _record(self, domain: str) -> SpfRecord | None:
        self._check_questions()
        try:
            found = spf_records(self._lookups.txt(domain))
        except NoSuchDomain:
            return None
        if len(found) > 1:
            raise _PermError(f"{domain} has more than one SPF record")
        try:
            return parse_spf_record(found[0]) if found else None
        except BadSpfRecord as problem:
            raise _PermError(f"the SPF record of {domain} is wrong: {problem}") from None

    def _matches(self, term: SpfTerm, domain: str) -> bool:
        if term.name not in {"all", "ip4", "ip6"}:
            self._count_term()
        try:
            return self._holds(term, self._target(term, domain))
        except UnmatchableMacro:
            return False

    def _holds(self, term: SpfTerm, target: str) -> bool:
        match term.name:
            case "all":
                return True
            case "ip4" | "ip6":
                return term.network is not None and self._address in term.network
            case "include":
                return self._include(target)
            case "a":
                return self._a(term, target)
            case "mx":
                return self._mx(term, target)
            case "ptr":
                return self._ptr(target)
            case _:
                return self._exists(target)

    def _target(self, term: SpfTerm, domain: str) -> str:
        return host_spec(term.domain, self._context(domain)) if term.domain else domain

    def _count_term(self) -> None:
        self._terms += 1
        if self._terms > MAX_TERMS:
            raise _PermError(f"the SPF records need more than {MAX_TERMS} terms that ask DNS")

    def _count_void(self) -> None:
        self._void += 1
        if self._void > MAX_VOID:
            raise _PermError(f"more than {MAX_VOID} terms of the SPF records lead to nothing")

    def _check_questions(self) -> None:
        if self._lookups.questions >= self._most_questions:
            raise _PermError(f"the SPF records need more than {MAX_QUESTIONS} questions to DNS")

    def _redirect(self, spec: str, domain: str, *, explain: bool) -> tuple[ResultWord, str, str]:
        self._count_term()
        try:
            target = host_spec(spec, self._context(domain))
        except UnmatchableMacro:
            return ResultWord.NEUTRAL, f"{domain}: no mechanism matches", ""
        word, reason, explanation = self._check_host(target, explain=explain)
        if word is ResultWord.NONE:
            raise _PermError(f"{domain} redirects to {target}, which has no SPF record")
        return word, reason, explanation

    def _include(self, target: str) -> bool:
        word, _, _ = self._check_host(target, explain=False)
        if word is ResultWord.NONE:
            raise _PermError(f"the included domain {target} has no SPF record")
        return word is ResultWord.PASS

    def _a(self, term: SpfTerm, target: str) -> bool:
        addresses = self._addresses(target)
        if not addresses and not self._has_other_family(target):
            self._count_void()
        return self._in_prefix(term, addresses)

    def _mx(self, term: SpfTerm, target: str) -> bool:
        self._check_questions()
        try:
            hosts = self._lookups.exchangers(target)
        except NoSuchDomain:
            hosts = ()
        if len(hosts) > MAX_NAMES:
            raise _PermError(f"{target} has more than {MAX_NAMES} MX records")
        if not hosts:
            self._count_void()
        return any(self._in_prefix(term, self._addresses(host)) for host in hosts if host)

    def _exists(self, target: str) -> bool:
        self._check_questions()
        try:
            found = bool(self._lookups.ipv4(target))
        except NoSuchDomain:
            found = False
        if not found:
            self._count_void()
        return found

    def _ptr(self, target: str) -> bool:
        wanted = target.lower()
        names = self._validated_names()
        if self._has_no_pointer:
            self._count_void()
        return any(name == wanted or name.endswith("." + wanted) for name in names)

    def _addresses(self, name: str) -> tuple[str, ...]:
        self._check_questions()
        try:
            return self._lookups.ipv4(name) if self._address.version == 4 else self._lookups.ipv6(name)
        except NoSuchDomain:
            return ()

    def _has_other_family(self, name: str) -> bool:
        """Return whether the name has addresses that the client could not have: such a term is not void."""
        self._check_questions()
        try:
            return bool(self._lookups.ipv6(name) if self._address.version == 4 else self._lookups.ipv4(name))
        except (NoSuchDomain, DnsFailure):
            return False

    def _in_prefix(self, term: SpfTerm, addresses: tuple[str, ...]) -> bool:
        prefix = term.prefix4 if self._address.version == 4 else term.prefix6
        return any(self._address in ipaddress.ip_network(f"{address}/{prefix}", strict=False) for address in addresses)

    def _validated_names(self) -> list[str]:
        """Return the names of the client that lead back to it (RFC 7208 5.5); a DNS failure means none."""
        if self._names is None:
            self._names = []
            try:
                found = self._lookups.ptr(str(self._address))[:MAX_NAMES]
                self._has_no_pointer = not found
            except NoSuchDomain:
                found, self._has_no_pointer = (), True
            except DnsFailure:
                found = ()
            self._names = [name.lower() for name in found if self._leads_back(name)]
        return self._names

    def _leads_back(self, name: str) -> bool:
        try:
            return any(ipaddress.ip_address(address) == self._address for address in self._addresses(name))
        except DnsFailure:
            return False

    def _context(self, domain: str) -> MacroContext:
        sender = f"{self._local}@{self._sender_domain}"
        query = self._query
        return MacroContext(
            sender,
            self._local,
            self._sender_domain,
            domain,
            str(self._address),
            query.helo,
            query.receiver,
            query.now,
            lambda: self._best_name(domain),
        )

    def _best_name(self, domain: str) -> str:
        """Return the value of %{p}: the domain itself, a name below it, or any validated name."""
        names, wanted = self._validated_names(), domain.lower()
        below = [name for name in names if name.endswith("." + wanted)]
        return wanted if wanted in names else (below or names or ["unknown"])[0]

    def _explanation(self, record: SpfRecord, domain: str) -> str:
        """Return the explanation of a fail, blank when there is none that can be used (RFC 7208 6.2)."""
        context = self._context(domain)
        try:
            texts = self._lookups.txt(host_spec(record.explanation, context))
            if len(texts) != 1:
                return ""
            text = texts[0].decode("ascii")
            check_explanation(text)
            return expand(text, context)
        except (NoSuchDomain, DnsFailure, UnmatchableMacro, BadMacro, UnicodeDecodeError):
            return ""

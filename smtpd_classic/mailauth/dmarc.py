"""DMARC: whether SPF or DKIM confirms the author's domain, and which policy that domain has (RFC 9989)."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from smtpd_classic.dns import DnsFailure, NoSuchDomain
from smtpd_classic.mailauth.dkim_verify import DkimResult
from smtpd_classic.mailauth.dmarc_record import (
    NONE,
    QUARANTINE,
    REJECT,
    DmarcRecord,
    dmarc_records,
    parse_dmarc_record,
)
from smtpd_classic.mailauth.lookup import Lookups, ascii_name
from smtpd_classic.mailauth.spf import SpfResult
from smtpd_classic.mailauth.words import ResultWord

__all__ = ["DmarcResult", "check_dmarc", "confirms", "organizational_domain", "tree_walk_names"]

_MAX_LABELS = 8
_MILDER = {REJECT: QUARANTINE, QUARANTINE: NONE, NONE: NONE}


class DmarcResult(NamedTuple):
    """The result for one author domain. `policy` is the published one, `asked` the one that a receiver applies."""

    word: ResultWord
    domain: str
    reason: str = ""
    policy: str = ""
    asked: str = ""
    record_domain: str = ""


class _Policy(NamedTuple):
    """The record that applies to an author domain, and the place where it was found."""

    record: DmarcRecord
    domain: str
    published: str


def check_dmarc(author: str, spf: SpfResult | None, dkim: Sequence[DkimResult], lookups: Lookups) -> DmarcResult:
    """Return the result of DMARC for an author domain in A-labels."""
    try:
        policy = _discover(author, lookups)
        if policy is None:
            return DmarcResult(ResultWord.NONE, author, "there is no DMARC record")
        return _evaluate(author, policy, spf, dkim, lookups)
    except DnsFailure as problem:
        return DmarcResult(ResultWord.TEMPERROR, author, str(problem))


def _evaluate(
    author: str, policy: _Policy, spf: SpfResult | None, dkim: Sequence[DkimResult], lookups: Lookups
) -> DmarcResult:
    record = policy.record
    asked = _MILDER[policy.published] if record.testing else policy.published
    identifiers = _identifiers(spf, dkim, record)
    word, reason = ResultWord.FAIL, "neither SPF nor DKIM confirms the author's domain"
    unknown = ""
    for word_of_it, domain, strict in identifiers:
        try:
            aligned = _aligned(author, domain, strict, lookups)
        except DnsFailure as problem:
            unknown = unknown or str(problem)
            continue
        if aligned and word_of_it is ResultWord.PASS:
            return DmarcResult(ResultWord.PASS, author, "", policy.published, asked, policy.domain)
        if aligned:
            unknown = unknown or f"a look-up for {domain} failed"
    if unknown:
        word, reason = ResultWord.TEMPERROR, unknown
    return DmarcResult(word, author, reason, policy.published, asked, policy.domain)


def _identifiers(
    spf: SpfResult | None, dkim: Sequence[DkimResult], record: DmarcRecord
) -> list[tuple[ResultWord, str, bool]]:
    """Return the domains that could confirm the author's, those that passed first, with strictness of alignment."""
    found = [(each.word, each.domain, record.strict_dkim) for each in dkim]
    if spf is not None:
        found.append((spf.word, spf.domain, record.strict_spf))
    wanted = (ResultWord.PASS, ResultWord.TEMPERROR)
    return sorted((each for each in found if each[0] in wanted and each[1]), key=lambda each: wanted.index(each[0]))


def _aligned(author: str, domain: str, strict: bool, lookups: Lookups) -> bool:
    """Return whether a confirmed domain is the author's, or of the same organization. Raises DnsFailure."""
    domain = ascii_name(domain)
    if domain == author or strict or not domain:
        return domain == author
    if domain.rpartition(".")[2] != author.rpartition(".")[2]:
        return False
    organization = organizational_domain(author, lookups)
    # Only a name within the organization can be of it, so that most questions about strangers are never asked.
    if domain != organization and not domain.endswith("." + organization):
        return False
    return organizational_domain(domain, lookups) == organization


def confirms(domains: Iterable[str], author: str) -> bool:
    """Return whether one of the domains is the author's, above or below it: alignment without a DMARC record."""
    return any(domain == author or author.endswith("." + domain) or domain.endswith("." + author) for domain in domains)


def tree_walk_names(domain: str) -> list[str]:
    """Return the names that a tree walk asks, at most eight (RFC 9989 4.10)."""
    labels = domain.split(".")
    if len(labels) < _MAX_LABELS:
        return [".".join(labels[at:]) for at in range(len(labels))]
    short = labels[1 - _MAX_LABELS :]
    return [domain, *(".".join(short[at:]) for at in range(len(short)))]


def _discover(author: str, lookups: Lookups) -> _Policy | None:
    """Return the policy for the author domain: its own, its organization's, or its public suffix's (4.10.1)."""
    own = _record_at(author, lookups)
    if own is not None:
        return _Policy(own, author, own.policy) if own.usable else None
    found = _walk(author, lookups)
    if not found:
        return None
    organization = _choose_organization(author, found)
    chosen = found.get(organization)
    domain = organization
    if chosen is None:  # the organization has none: what is left is the record of a public suffix
        domain, chosen = list(found.items())[-1]
    if not chosen.usable:
        return None
    return _Policy(chosen, domain, _subdomain_policy(author, chosen, lookups))


def _subdomain_policy(author: str, record: DmarcRecord, lookups: Lookups) -> str:
    """Return the policy for a domain below the one with the record. Raises DnsFailure."""
    existing = record.subdomains or record.policy
    missing = record.missing or existing
    if missing == existing:
        return existing
    return existing if _exists(author, lookups) else missing


def _exists(domain: str, lookups: Lookups) -> bool:
    try:
        lookups.ipv4(domain)
    except NoSuchDomain:
        return False
    return True


def organizational_domain(domain: str, lookups: Lookups) -> str:
    """Return the organizational domain (RFC 9989 4.10.2). Raises DnsFailure."""
    return _choose_organization(domain, _walk(domain, lookups))


def _walk(domain: str, lookups: Lookups) -> dict[str, DmarcRecord]:
    """Return the records that a tree walk meets, from the longest name to the shortest. Raises DnsFailure."""
    found: dict[str, DmarcRecord] = {}
    for name in tree_walk_names(domain):
        record = _record_at(name, lookups)
        if record is not None:
            found[name] = record
            if record.psd in {"y", "n"}:
                break
    return found


def _choose_organization(domain: str, found: dict[str, DmarcRecord]) -> str:
    for name, record in found.items():
        if record.psd == "n":
            return name
        if record.psd == "y" and name != domain:
            depth = name.count(".") + 2
            return ".".join(domain.split(".")[-depth:])
    return list(found)[-1] if found else domain


def _record_at(domain: str, lookups: Lookups) -> DmarcRecord | None:
    """Return the record of one name; two records there are none. Raises DnsFailure."""
    try:
        records = dmarc_records(lookups.txt(f"_dmarc.{domain}"))
    except NoSuchDomain:
        return None
    return parse_dmarc_record(records[0]) if len(records) == 1 else None

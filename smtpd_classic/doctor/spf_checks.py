"""Checks of the SPF records of the domains beyond the result for our addresses."""

from collections.abc import Iterator

from smtpd_classic.dns import DnsFailure, NoSuchDomain
from smtpd_classic.doctor.finding import CheckResult, Examination, good, unknown, wrong
from smtpd_classic.keys.store import IN_USE, KeysUnreadable
from smtpd_classic.mailauth.lookup import Lookups
from smtpd_classic.mailauth.spf import MAX_TERMS, SpfQuery, check_spf
from smtpd_classic.mailauth.spf_record import BadSpfRecord, SpfRecord, parse_spf_record, spf_records
from smtpd_classic.mailauth.words import ResultWord

__all__ = ["own_domains", "spf_end", "spf_terms"]

_FREE_TERMS = frozenset(("all", "ip4", "ip6"))
_MOST_COUNTED = 40


def spf_terms(examination: Examination) -> Iterator[CheckResult]:
    """Check that no receiver needs more than ten terms that ask DNS, whatever the sender's address is."""
    for domain in examination.domains:
        subject = f"SPF terms of {domain}"
        query = SpfQuery((*examination.public, "192.0.2.0")[0], f"postmaster@{domain}", domain)
        if check_spf(query, Lookups(examination.resolver)).word in {ResultWord.TEMPERROR, ResultWord.PERMERROR}:
            continue  # reported by `spf`
        try:
            number = _terms(domain, Lookups(examination.resolver), 0)
        except DnsFailure as problem:
            yield unknown(subject, str(problem))
            continue
        except BadSpfRecord as problem:
            advice = f"Correct the SPF record of {domain}, or take the include out of it."
            yield wrong(subject, f"a record that it names cannot be used: {problem}", advice)
            continue
        if number > MAX_TERMS:
            advice = "Take out includes, or replace a and mx by ip4 and ip6."
            yield wrong(subject, f"{number} terms ask DNS, and receivers stop after {MAX_TERMS}", advice)
        elif number >= 0:
            yield good(subject, f"{number} of {MAX_TERMS} that may ask DNS")


def _record(domain: str, lookups: Lookups) -> SpfRecord | None:
    """Return the one SPF record of a domain, or None. Raises DnsFailure or BadSpfRecord."""
    try:
        found = spf_records(lookups.txt(domain))
    except NoSuchDomain:
        return None
    return parse_spf_record(found[0]) if len(found) == 1 else None


def _terms(domain: str, lookups: Lookups, so_far: int) -> int:
    """Return the number of terms with all includes; -1 when there is no record."""
    record = _record(domain, lookups)
    if record is None:
        if so_far:
            raise BadSpfRecord(f"{domain} has not exactly one SPF record")
        return -1
    number = 0
    targets = [term.domain for term in record.terms if term.name == "include"]
    number += sum(term.name not in _FREE_TERMS for term in record.terms)
    if record.redirect and not any(term.name == "all" for term in record.terms):
        targets.append(record.redirect)
        number += 1
    for target in targets:
        if "%" not in target and so_far + number < _MOST_COUNTED:
            number += _terms(target, lookups, so_far + number)
    return number


def spf_end(examination: Examination) -> Iterator[CheckResult]:
    """Check that the SPF record does not allow every host to send for the domain."""
    for domain in examination.domains:
        try:
            record = _record(domain, Lookups(examination.resolver))
        except (DnsFailure, BadSpfRecord):
            continue  # reported by `spf`
        if record is None:
            continue
        subject = f"SPF for all other hosts of {domain}"
        end = next((term.qualifier for term in record.terms if term.name == "all"), "")
        if end == "+":
            yield wrong(subject, "+all allows every host to send for the domain", "End the record with ~all or -all.")
        elif end in {"~", "-"} or record.redirect:
            yield good(subject, f"{end}all" if end else "as the record that it redirects to says")
        else:
            yield good(subject, "nothing is said about them; ~all or -all would protect the domain")


def own_domains(examination: Examination) -> Iterator[CheckResult]:
    """Report domains whose forged mail cannot be told from theirs, so that `own_domains` takes no action."""
    options = examination.config.authentication
    if not options.check or options.own_domains == "mark":
        return
    for domain in examination.domains:
        try:
            signs = any(key.state == IN_USE for key in examination.store.keys(domain))
            is_known = signs or bool(spf_records(examination.resolver.txt(domain)))
        except NoSuchDomain:
            is_known = False
        except (KeysUnreadable, DnsFailure):
            continue  # reported by `dkim` and `spf`
        if not is_known:
            found = "not seen: the domain has neither an SPF record nor a key in use"
            yield wrong(f"forged mail of {domain}", found, f"See “smtpd-classic dns records {domain}”.")

"""Checks of the DMARC reports: their addresses here, and the policy that they allow."""

from collections.abc import Iterator

from smtpd_classic.accounts import Accounts, AccountsUnreadable
from smtpd_classic.dns import DnsFailure, NoSuchDomain
from smtpd_classic.doctor.finding import CheckResult, CheckState, Examination, good, unknown, wrong
from smtpd_classic.mailauth.dmarc_record import NONE, DmarcRecord, dmarc_records, parse_dmarc_record, report_address

__all__ = ["dmarc_policy", "report_addresses"]

_DAY_S = 86_400
_LEAST_DAYS, _LEAST_SHARE = 14, 0.98


def _record(examination: Examination, domain: str) -> DmarcRecord | None:
    """Return the DMARC record of a domain; None when there is not exactly one, which `dmarc` reports."""
    try:
        records = dmarc_records(examination.resolver.txt(f"_dmarc.{domain}"))
    except (NoSuchDomain, DnsFailure):
        return None
    return parse_dmarc_record(records[0]) if len(records) == 1 else None


def dmarc_policy(examination: Examination) -> Iterator[CheckResult]:
    """Propose a stricter policy when reports of two weeks say that nearly all mail passes."""
    for domain in examination.domains:
        record = _record(examination, domain)
        if record is None or not record.usable or record.policy != NONE:
            continue
        subject = f"DMARC policy of {domain}"
        try:
            found = examination.reports(domain)
        except (AccountsUnreadable, OSError) as problem:
            yield unknown(subject, f"the reports cannot be read: {problem}")
            continue
        days = (found.end - found.begin) // _DAY_S
        if not found.messages:
            yield good(subject, "p=none; no reports have arrived within 30 days")
            continue
        share = found.passed / found.messages
        said = f"p=none; {share:.1%} of {found.messages} messages in {days} days passed"
        if days >= _LEAST_DAYS and share >= _LEAST_SHARE:
            advice = f"Publish p=quarantine at _dmarc.{domain}: the reports allow it."
            yield CheckResult(CheckState.GOOD, subject, said, advice)
        else:
            yield good(subject, f"{said}; keep p=none for now (see “smtpd-classic dmarc {domain}”)")


def report_addresses(examination: Examination) -> Iterator[CheckResult]:
    """Check that the local addresses that reports are sent to exist."""
    known = Accounts(examination.config)
    for domain in examination.domains:
        record = _record(examination, domain)
        wanted = record.reports_to if record is not None else ()
        addresses = {address for uri in wanted if (address := report_address(uri))}
        try:
            missing = [each for each in sorted(addresses) if _is_missing(known, each)]
        except AccountsUnreadable:
            continue  # reported by `accounts`
        subject = f"report addresses of {domain}"
        if missing:
            advice = f"Make it: “smtpd-classic alias set {missing[0]} TARGET”."
            yield wrong(subject, f"{missing[0]} does not exist here", advice)
        elif addresses:
            yield good(subject, ", ".join(sorted(addresses)))


def _is_missing(known: Accounts, address: str) -> bool:
    return known.is_local_domain(address.rpartition("@")[2]) and known.find(address) is None

"""Checks of the records in DNS: names, MX, SPF, DKIM, DMARC."""

from collections.abc import Iterator

from smtpd_classic.config.check_domains import unsigned_domains
from smtpd_classic.dns import DnsFailure, NoSuchDomain
from smtpd_classic.doctor.finding import NOT_USED, CheckResult, Examination, good, unknown, wrong
from smtpd_classic.domain_name import ascii_domain
from smtpd_classic.keys.publication import RecordState
from smtpd_classic.keys.store import IN_USE, RETIRED, DkimKey, KeysUnreadable
from smtpd_classic.mailauth.dmarc import check_dmarc
from smtpd_classic.mailauth.dmarc_record import dmarc_records, parse_dmarc_record, report_address
from smtpd_classic.mailauth.lookup import Lookups
from smtpd_classic.mailauth.spf import SpfQuery, check_spf
from smtpd_classic.mailauth.words import ResultWord

__all__ = [
    "SET_ADDRESSES",
    "address_records",
    "dkim",
    "dmarc",
    "dmarc_reports",
    "helo_address",
    "leads_here",
    "mx",
    "ptr",
    "resolver",
    "retired_keys",
    "spf",
    "tls_reports",
]

_KEPT_S = 30 * 86_400


def resolver(examination: Examination) -> Iterator[CheckResult]:
    """Check that the name servers answer."""
    servers = ", ".join(address for address, _ in examination.config.server.name_servers) or "those of /etc/resolv.conf"
    try:
        examination.resolver.ns_records(examination.domains[0])
    except NoSuchDomain:
        pass
    except DnsFailure as problem:
        yield unknown(
            "resolver", f"the name servers ({servers}) do not answer: {problem}", "Check [server] name_servers."
        )
        return
    yield good("resolver", f"the name servers ({servers}) answer")


def helo_address(examination: Examination) -> Iterator[CheckResult]:
    """Check that the HELO name leads to our addresses."""
    name = ascii_domain(examination.config.helo_name)
    subject = f"address of {name}"
    try:
        found = {address for version in (4, 6) for address in address_records(examination, name, version)}
    except DnsFailure as problem:
        yield unknown(subject, str(problem))
        return
    if not found:
        yield wrong(subject, "the name has no address", f"Publish A and AAAA records for {name}.")
    elif not examination.public:
        yield unknown(subject, f"DNS shows {', '.join(sorted(found))}; no own address is known", SET_ADDRESSES)
    elif found - set(examination.public):
        other = ", ".join(sorted(found - set(examination.public)))
        yield wrong(subject, f"DNS shows {other}, which is not ours", f"Correct the record, or {SET_ADDRESSES.lower()}")
    else:
        yield good(subject, ", ".join(sorted(found)))


SET_ADDRESSES = "Set [server] public_addresses."


def address_records(examination: Examination, name: str, version: int) -> tuple[str, ...]:
    """Return the addresses of a name, none when it does not exist. Raises DnsFailure."""
    try:
        return examination.resolver.address_records(name, version)
    except NoSuchDomain:
        return ()


def ptr(examination: Examination) -> Iterator[CheckResult]:
    """Check that each of our addresses leads back to the HELO name."""
    if examination.by_relay:
        yield good("reverse name", NOT_USED)
        return
    wanted = ascii_domain(examination.config.helo_name)
    for address in examination.public:
        subject = f"reverse name of {address}"
        try:
            names = examination.resolver.ptr(address)
        except NoSuchDomain:
            names = ()
        except DnsFailure as problem:
            yield unknown(subject, str(problem))
            continue
        if wanted in names:
            yield good(subject, wanted)
        else:
            found = ", ".join(names) or "there is none"
            yield wrong(subject, f"{found}, not {wanted}", f"Let your provider set the PTR record to {wanted}.")


def mx(examination: Examination) -> Iterator[CheckResult]:
    """Check that mail for each domain comes here."""
    for domain in examination.domains:
        subject = f"MX of {domain}"
        try:
            hosts = [each.host for each in examination.resolver.mx_records(domain)]
            leads = [host for host in hosts if host and leads_here(examination, host)]
        except NoSuchDomain:
            hosts, leads = [], []
        except DnsFailure as problem:
            yield unknown(subject, str(problem))
            continue
        advice = f"Publish “{domain}. MX 10 {ascii_domain(examination.config.helo_name)}.”."
        if not hosts:
            yield wrong(subject, "there is none", advice)
        elif not leads:
            yield wrong(subject, f"{', '.join(hosts)} is not this server", advice)
        else:
            yield good(subject, ", ".join(hosts))


def leads_here(examination: Examination, host: str) -> bool:
    """Return True if a host is this server. Raises DnsFailure."""
    if host == ascii_domain(examination.config.helo_name):
        return True
    found = {address for version in (4, 6) for address in address_records(examination, host, version)}
    return bool(found & set(examination.public))


def spf(examination: Examination) -> Iterator[CheckResult]:
    """Check that each domain lets our addresses send for it."""
    for domain in examination.domains:
        for address in examination.public or ("192.0.2.0",):
            subject = f"SPF of {domain}" + (f" for {address}" if examination.public else "")
            query = SpfQuery(address, f"postmaster@{domain}", domain)
            result = check_spf(query, Lookups(examination.resolver))
            advice = f"See “smtpd-classic dns records {domain}”."
            if result.word is ResultWord.TEMPERROR:
                yield unknown(subject, result.reason)
            elif result.word in {ResultWord.NONE, ResultWord.PERMERROR}:
                yield wrong(subject, result.reason, advice)
            elif examination.by_relay or not examination.public:
                yield good(subject, NOT_USED if examination.by_relay else "there is one record that can be read")
            elif result.word is ResultWord.PASS:
                yield good(subject, result.reason)
            else:
                yield wrong(subject, f"{result.word}: {result.reason}", advice)


def dkim(examination: Examination) -> Iterator[CheckResult]:
    """Check that DNS shows each key that is used or waits."""
    unsigned = set(map(ascii_domain, unsigned_domains(examination.config)))
    for domain in examination.domains:
        if domain in unsigned:
            yield good(f"DKIM of {domain}", "not used: sign = no")
            continue
        try:
            keys = [key for key in examination.store.keys(domain) if key.state != RETIRED]
            findings = [_key(examination, key) for key in keys]
        except KeysUnreadable as problem:
            yield wrong(f"DKIM of {domain}", str(problem), "Correct the owner and mode of the file, or make a new key.")
            continue
        if not keys:
            yield wrong(f"DKIM of {domain}", "there is no key", f"Use “smtpd-classic dkim add {domain}”.")
        yield from findings


def _key(examination: Examination, key: DkimKey) -> CheckResult:
    subject = f"DKIM key {key.selector} of {key.domain}"
    shown = examination.publication.shown(key)
    if shown is RecordState.YES:
        return good(subject, f"DNS shows it; {key.state}")
    if shown is RecordState.UNKNOWN:
        return unknown(subject, shown.value)
    signs = " and mail is signed with it" if key.state == IN_USE else ""
    return wrong(subject, f"{shown.value}{signs}", f"Publish {key.dns_name}: “smtpd-classic dkim show {key.selector}”.")


def retired_keys(examination: Examination) -> Iterator[CheckResult]:
    """Report the records of old keys: they may be removed after thirty days."""
    for domain in examination.domains:
        try:
            old = [key for key in examination.store.keys(domain) if key.state == RETIRED]
        except KeysUnreadable:
            continue  # reported by `dkim`
        for key in old:
            subject = f"retired key {key.selector} of {domain}"
            if key.since + _KEPT_S > examination.clock():
                yield good(subject, "keep its record in DNS until 30 days have passed")
            else:
                yield good(subject, f"{key.dns_name} may be removed from DNS")


def dmarc(examination: Examination) -> Iterator[CheckResult]:
    """Check that each domain has one DMARC record, its own or that of its organization."""
    for domain in examination.domains:
        subject, advice = f"DMARC of {domain}", f"See “smtpd-classic dns records {domain}”."
        try:
            records = dmarc_records(examination.resolver.txt(f"_dmarc.{domain}"))
        except NoSuchDomain:
            records = []
        except DnsFailure as problem:
            yield unknown(subject, str(problem))
            continue
        if not records:
            yield _inherited_dmarc(examination, domain)
            continue
        if len(records) > 1:
            yield wrong(subject, f"there are {len(records)} records", advice)
            continue
        record = parse_dmarc_record(records[0])
        if record.usable:
            yield good(subject, f"p={record.policy}")
        else:
            yield wrong(subject, "the record has no valid p=", advice)


def _inherited_dmarc(examination: Examination, domain: str) -> CheckResult:
    """Return the row of a domain without a record: that of its organization holds for it (RFC 9989 4.10.1)."""
    subject = f"DMARC of {domain}"
    found = check_dmarc(domain, None, (), Lookups(examination.resolver))
    if found.word is ResultWord.TEMPERROR:
        return unknown(subject, found.reason)
    if "." in found.record_domain:
        return good(subject, f"p={found.policy}, by the record of {found.record_domain}")
    return wrong(subject, "there is no record", f"See “smtpd-classic dns records {domain}”.")


def tls_reports(examination: Examination) -> Iterator[CheckResult]:
    """Check the record that asks for reports about TLS (RFC 8460). A domain may have none."""
    for domain in examination.domains:
        subject = f"TLS reports of {domain}"
        try:
            records = [
                text for text in examination.resolver.txt(f"_smtp._tls.{domain}") if text.startswith(b"v=TLSRPTv1")
            ]
        except NoSuchDomain:
            records = []
        except DnsFailure as problem:
            yield unknown(subject, str(problem))
            continue
        advice = f"See “smtpd-classic dns records {domain}”."
        if len(records) > 1:
            yield wrong(subject, f"there are {len(records)} records, and receivers ignore them all", advice)
        elif records and b"rua=" not in records[0]:
            yield wrong(subject, "the record has no rua=", advice)
        else:
            yield good(subject, "there is one record" if records else "not asked for")


def dmarc_reports(examination: Examination) -> Iterator[CheckResult]:
    """Check that a domain elsewhere that gets our reports allows it (RFC 9990)."""
    for domain in examination.domains:
        try:
            records = dmarc_records(examination.resolver.txt(f"_dmarc.{domain}"))
        except (NoSuchDomain, DnsFailure):
            continue  # reported by `dmarc`
        uris = [uri for record in records[:1] for uri in parse_dmarc_record(record).reports_to]
        targets = {address.rpartition("@")[2] for uri in uris if (address := report_address(uri))}
        for target in sorted(targets):
            if target != domain and not target.endswith(f".{domain}") and not domain.endswith(f".{target}"):
                yield _reports_allowed(examination, domain, target)


def _reports_allowed(examination: Examination, domain: str, target: str) -> CheckResult:
    subject, name = f"DMARC reports of {domain} to {target}", f"{domain}._report._dmarc.{target}"
    try:
        allowed = bool(dmarc_records(examination.resolver.txt(name)))
    except NoSuchDomain:
        allowed = False
    except DnsFailure as problem:
        return unknown(subject, str(problem))
    if allowed:
        return good(subject, "allowed")
    return wrong(subject, "not allowed there", f"Let {target} publish the TXT record v=DMARC1 at {name}.")

"""Checks of this server's own name and addresses, and of the other hosts in the MX records."""

import ipaddress
from collections.abc import Iterator

from smtpd_classic.dns import DnsFailure, NoSuchDomain
from smtpd_classic.doctor.dns_checks import SET_ADDRESSES, address_records, leads_here
from smtpd_classic.doctor.finding import NOT_USED, CheckResult, Examination, good, unknown, wrong
from smtpd_classic.domain_name import ascii_domain
from smtpd_classic.filters.resolvers import public_resolvers
from smtpd_classic.mailauth.lookup import Lookups
from smtpd_classic.mailauth.spf import SpfQuery, check_spf
from smtpd_classic.mailauth.words import ResultWord

__all__ = ["backup_mx", "helo_name", "helo_spf", "own_address", "resolver_kind"]

# Names that no other server can look up (RFC 6761, 6762, 8375, 9476, and those that are used like them).
_LOCAL_ENDS = frozenset(("local", "localdomain", "localhost", "lan", "home", "corp", "internal", "intranet", "invalid"))
_PRIVATE = tuple(
    ipaddress.ip_network(text)
    for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "127.0.0.0/8", "fc00::/7", "::1/128")
)


def helo_name(examination: Examination) -> Iterator[CheckResult]:
    """Check that other servers can look up the name in HELO."""
    name = ascii_domain(examination.config.helo_name)
    last = name.rpartition(".")[2]
    if "." not in name or last in _LOCAL_ENDS or last.isdigit():
        advice = "Set [basic] helo_name to a name of this server in public DNS, such as mail.example.org."
        yield wrong("name in HELO", f"{name} means nothing to other servers", advice)
    else:
        yield good("name in HELO", name)


def own_address(examination: Examination) -> Iterator[CheckResult]:
    """Check that our addresses are those that other servers see."""
    if examination.by_relay:
        yield good("own address", NOT_USED)
        return
    if not examination.public:
        yield unknown("own address", "this machine has no address that leads to the Internet", SET_ADDRESSES)
    for text in examination.public:
        address = ipaddress.ip_address(text)
        if any(address in network for network in _PRIVATE if network.version == address.version):
            yield wrong(f"own address {text}", "it is private: other servers see another one", SET_ADDRESSES)
        else:
            yield good(f"own address {text}", "it is public")


def resolver_kind(examination: Examination) -> Iterator[CheckResult]:
    """Report a public resolver: block lists do not answer those."""
    shared = public_resolvers(examination.name_servers)
    options = examination.config.filter
    subject = "kind of resolver"
    if not shared:
        yield good(subject, f"of your own or of your provider: {', '.join(examination.name_servers) or 'unknown'}")
    elif examination.lists or options.blocklists or options.allowlists:
        advice = "Install a resolver (“apt install unbound”), and set [server] name_servers to 127.0.0.1."
        yield wrong(subject, f"that of {' and '.join(shared)}, to which block lists give no answer", advice)
    else:
        yield good(subject, f"that of {' and '.join(shared)}; block lists would give it no answer")


def helo_spf(examination: Examination) -> Iterator[CheckResult]:
    """Check that the SPF record of the HELO name allows our addresses: bounces are sent in that name."""
    name = ascii_domain(examination.config.helo_name)
    if name in examination.domains:
        return  # checked as a domain
    subject = f"SPF of {name}"
    if examination.by_relay or not examination.public:
        yield good(subject, NOT_USED if examination.by_relay else "no own address is known")
        return
    for address in examination.public:
        result = check_spf(SpfQuery(address, f"postmaster@{name}", name), Lookups(examination.resolver))
        row = f"{subject} for {address}"
        if result.word is ResultWord.TEMPERROR:
            yield unknown(row, result.reason)
        elif result.word is ResultWord.PASS:
            yield good(row, result.reason)
        elif result.word is ResultWord.NONE:
            yield good(row, "there is none; “v=spf1 a -all” would confirm bounces")
        else:
            yield wrong(row, f"{result.word}: {result.reason}", f'Publish “{name}. TXT "v=spf1 a -all"”.')


def backup_mx(examination: Examination) -> Iterator[CheckResult]:
    """Check the hosts in the MX records that are not this server."""
    for domain in examination.domains:
        try:
            hosts = [each.host for each in examination.resolver.mx_records(domain) if each.host]
            others = [host for host in hosts if not leads_here(examination, host)]
        except (NoSuchDomain, DnsFailure):
            continue  # reported by `mx`
        if len(others) < len(hosts):  # else the domain's mail goes elsewhere: reported by `mx`
            for host in others:
                yield _backup(examination, domain, host)


def _backup(examination: Examination, domain: str, host: str) -> CheckResult:
    subject = f"backup MX {host} of {domain}"
    try:
        found = [address for version in (4, 6) for address in address_records(examination, host, version)]
    except DnsFailure as problem:
        return unknown(subject, str(problem))
    if not found:
        return wrong(subject, "the name has no address", "Remove the host from the MX records, or correct its name.")
    try:
        return good(subject, examination.banner(host, 25)[:60])
    except ConnectionRefusedError:
        return wrong(
            subject, "no mail server answers there", "Start its mail server, or remove it from the MX records."
        )
    except OSError as problem:
        return unknown(subject, f"it cannot be reached from here: {problem.strerror or problem}")
    except (NoSuchDomain, DnsFailure) as problem:
        return unknown(subject, str(problem))

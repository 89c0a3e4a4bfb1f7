"""The data of one instance that the doctor, the commands of keys and DNS, and the screens share."""

import ipaddress
import os
import re
import socket
import time
from collections.abc import Sequence
from contextlib import suppress

from smtpd_classic.accounts.report_boxes import dmarc_reports_to, tls_reports_to
from smtpd_classic.config.check_domains import local_domains, unsigned_domains
from smtpd_classic.config.kinds import Host
from smtpd_classic.config.schema import Config
from smtpd_classic.daemon.privileges import service_user
from smtpd_classic.dns import DnsFailure, DnsResolver, NoSuchDomain, Resolver
from smtpd_classic.doctor.finding import Examination
from smtpd_classic.doctor.reports import received_reports
from smtpd_classic.domain_name import ascii_domain
from smtpd_classic.filters.resolvers import name_servers
from smtpd_classic.keys.publication import Publication, publication_by, same_record
from smtpd_classic.keys.records import DnsRecord, MailHost, domain_records
from smtpd_classic.keys.store import RETIRED, KeyStore, dkim_folder
from smtpd_classic.log_source import NoLog, log_source
from smtpd_classic.mailauth.lookup import Lookups
from smtpd_classic.mailauth.spf_record import spf_records

__all__ = [
    "ALGORITHMS",
    "BLOCK_LISTS",
    "algorithm_of",
    "examination_of",
    "is_shown",
    "key_store",
    "own_addresses",
    "publication_of",
    "records_of",
    "relay_terms",
    "signing_domains",
    "signs",
    "stored_keys",
]

ALGORITHMS = ("rsa2048", "rsa3072", "ed25519", "rsa2048+ed25519")
_PATIENCE_S = 10.0
_RELAY_PATIENCE_S = 3.0
_VISITOR = re.compile(r": connect from [^\[]*\[([0-9A-Fa-f.:]+)\]")
_LONGEST_BANNER = 512
_LINES_LOOKED_AT = 50
_TAKEN = re.compile(r" relay=([^\[, ]+)\[[^\]]*\]:25, .*status=sent")
# Lists that answer every resolver but public ones.
BLOCK_LISTS = ("zen.spamhaus.org", "bl.spamcop.net", "psbl.surriel.com")


def signing_domains(config: Config) -> list[str]:
    """Return all local domains and their other names in A-labels, the primary one first."""
    names = {ascii_domain(name) for name in local_domains(config)}
    primary = ascii_domain(config.server.primary_domain)
    return [primary, *sorted(names - {primary})]


def signs(config: Config, domain: str) -> bool:
    """Return True unless the mail of a domain in A-labels is never signed."""
    return domain not in map(ascii_domain, unsigned_domains(config))


def algorithm_of(config: Config, domain: str) -> str:
    """Return the algorithm of new keys of a domain in A-labels."""
    for each in config.domains:
        if domain in map(ascii_domain, (each.name, *each.aliases)):
            return each.dkim_algorithm
    return ALGORITHMS[0]


def key_store(config: Config) -> KeyStore:
    """Return the keys of the instance. As root, give new files to the service user. Raises PrivilegeProblem."""
    user = service_user(config.server.user)
    return KeyStore(dkim_folder(config.path), (user.pw_uid, user.pw_gid) if user else None)


def stored_keys(config: Config) -> KeyStore:
    """Return the keys of the instance, for reading alone: no service user is needed."""
    return KeyStore(dkim_folder(config.path))


def publication_of(config: Config, store: KeyStore) -> Publication:
    """Return the answers of DNS about the keys, from a resolver without a memory."""
    return publication_by(store, config.server.name_servers)


# Addresses of root name servers, which are as far away as any. Nothing is sent to them.
_FAR_AWAY = ((socket.AF_INET, "198.41.0.4"), (socket.AF_INET6, "2001:503:ba3e::2:30"))


def own_addresses(config: Config) -> tuple[str, ...]:
    """Return the addresses under which other servers know this one: those of the option, or those of the interfaces
    that lead to the Internet."""
    if config.server.public_addresses:
        return config.server.public_addresses
    found: list[str] = []
    for family, far_away in _FAR_AWAY:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            try:
                probe.connect((far_away, 53))
            except OSError:
                continue
            address = probe.getsockname()[0]
        if not ipaddress.ip_address(address).is_link_local:
            found.append(address)
    return tuple(found)


def records_of(config: Config, store: KeyStore, domain: str) -> list[DnsRecord]:
    """Return the records that a local domain has to publish. Raises KeysUnreadable."""
    published = [key for key in store.keys(domain) if key.state != RETIRED] if signs(config, domain) else []
    keys = [(key.dns_name, store.record(key)) for key in published]
    host = MailHost(
        ascii_domain(config.helo_name),
        own_addresses(config),
        frozenset(signing_domains(config)),
        relay_terms(config.remote.relay_hosts, DnsResolver(config.server.name_servers)),
        any(listener.port == 465 or listener.auth == "required" for listener in config.listeners),
    )
    return domain_records(
        domain,
        host,
        keys,
        dmarc_reports_to=dmarc_reports_to(config, domain),
        tls_reports_to=tls_reports_to(config, domain),
    )


def relay_terms(relays: Sequence[Host], resolver: Resolver) -> tuple[str, ...]:
    """Return the SPF terms that let relays send for a domain. A name is one of a provider, which tells in DNS which of
    its domains has an SPF record; without an answer the last two labels are proposed."""
    lookups = Lookups(resolver, deadline_s=_RELAY_PATIENCE_S)
    return tuple(dict.fromkeys(_relay_term(relay.name, lookups) for relay in relays))


def _relay_term(name: str, lookups: Lookups) -> str:
    with suppress(ValueError):
        address = ipaddress.ip_address(name.strip("[]"))
        return f"ip{address.version}:{address}"
    labels = ascii_domain(name).split(".")
    domains = [".".join(labels[at:]) for at in range(max(len(labels) - 2, 0), -1, -1)]
    for domain in domains:
        with suppress(NoSuchDomain, DnsFailure):
            if spf_records(lookups.txt(domain)):
                return f"include:{domain}"
    return f"include:{domains[0]}"


def is_shown(resolver: DnsResolver, record: DnsRecord) -> bool:
    """Return whether DNS shows the record, or another one that serves the same purpose. Raises DnsFailure."""
    try:
        if record.kind == "MX":
            return any(f"{each.host}." == record.data.split()[1] for each in resolver.mx_records(record.name))
        if record.kind in {"A", "AAAA"}:
            return record.data in resolver.address_records(record.name, 4 if record.kind == "A" else 6)
        texts = resolver.txt(record.name)
    except NoSuchDomain:
        return False
    if "._domainkey." in record.name:
        return len(texts) == 1 and same_record(texts[0], record.data)
    version = record.data.partition(" ")[0].rstrip(";").encode("ascii")
    return sum(text.startswith(version) for text in texts) == 1


def examination_of(
    config: Config,
    store: KeyStore,
    probe_hosts: Sequence[str] = (),
    lists: Sequence[str] = BLOCK_LISTS,
    *,
    on_demand: bool = True,
) -> Examination:
    """Return the data and tools for an examination of this instance.

    Without `probe_hosts` those of the configuration are probed, or the hosts that took mail last. On demand servers of
    others are asked, otherwise once a day.
    """
    resolver = DnsResolver(config.server.name_servers)
    return Examination(
        config=config,
        resolver=resolver,
        store=store,
        publication=publication_of(config, store),
        public=own_addresses(config),
        domains=tuple(signing_domains(config)),
        clock=time.time,
        banner=lambda host, port: _banner(resolver, host, port),
        reach=_reach,
        last_visitor=lambda: _last_visitor(config.server.log),
        reports=lambda domain: received_reports(config, domain, time.time()),
        name_servers=name_servers(config),
        probe_hosts=tuple(probe_hosts) or config.server.probe_hosts or _recent_hosts(config.server.log),
        lists=tuple(lists),
        on_demand=on_demand,
        kept_in=os.path.join(config.server.run_folder, "doctor-asked.json"),
    )


def _banner(resolver: DnsResolver, host: str, port: int) -> str:
    """Return the greeting of a host. Raises NoSuchDomain, DnsFailure or OSError."""
    addresses = resolver.addresses(host)
    failure = OSError("it has no address")
    for address in addresses:
        try:
            return _greeting(address, port)
        except OSError as problem:
            failure = problem
    raise failure


def _greeting(address: str, port: int) -> str:
    with socket.create_connection((address, port), _PATIENCE_S) as connection:
        banner = connection.recv(_LONGEST_BANNER).decode("ascii", "replace").strip()
        connection.sendall(b"QUIT\r\n")
    return banner


def _reach(host: str, port: int) -> None:
    """Connect to a port, or for port 0 to the Unix socket of that path. Raises OSError."""
    if not port:
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(_PATIENCE_S)
            probe.connect(host)
        return
    socket.create_connection((host, port), _PATIENCE_S).close()


def _recent_hosts(log: str) -> tuple[str, ...]:
    """Return the two hosts of others that took mail last; none when there are none or the log cannot be read."""
    try:
        lines = log_source(log).last(_LINES_LOOKED_AT, lambda line: _TAKEN.search(line) is not None)
    except (NoLog, OSError):
        return ()
    matches = [_TAKEN.search(line) for line in reversed(lines)]
    return tuple(dict.fromkeys(match[1] for match in matches if match is not None))[:2]


def _last_visitor(log: str) -> str:
    """Return the last line about a connection from the Internet, blank for none. Raises OSError."""
    try:
        found = log_source(log).last(1, _is_visitor)
    except NoLog as problem:
        raise OSError(str(problem)) from None
    return found[0] if found else ""


def _is_visitor(line: str) -> bool:
    match = _VISITOR.search(line)
    try:
        return match is not None and ipaddress.ip_address(match[1]).is_global
    except ValueError:
        return False

"""`smtpd-classic dns`: the DNS records that a domain needs, and whether DNS shows them."""

import argparse
import json
import os
import sys
from dataclasses import asdict

from smtpd_classic.commands.failures import Refused, guarded
from smtpd_classic.commands.signing import domain_argument, key_store, known_domain, own_addresses, signing_domains
from smtpd_classic.config import Config, load
from smtpd_classic.config.kinds import Host
from smtpd_classic.dns import DnsFailure, DnsResolver, NoSuchDomain
from smtpd_classic.domain_name import ascii_domain
from smtpd_classic.keys.publication import same_record
from smtpd_classic.keys.records import DnsRecord, MailHost, domain_records, zone_fragment
from smtpd_classic.keys.store import RETIRED, KeysUnreadable

__all__ = ["HELP", "add_arguments", "run"]

HELP = "print the DNS records that a domain needs, and check them"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    records = actions.add_parser("records", help="print the records of a domain")
    domain_argument(records)
    form = records.add_mutually_exclusive_group()
    form.add_argument("--zone", action="store_true", help="print a fragment of a zone file")
    form.add_argument("--json", action="store_true", help="print JSON")
    check = actions.add_parser("check", help="compare DNS with the records; exit status 1 when one is wrong")
    domain_argument(check)


def run(args: argparse.Namespace) -> int:
    return guarded(lambda: _refusing(args))


def _refusing(args: argparse.Namespace) -> int:
    config = load(args.config)
    try:
        records = records_of(config, known_domain(config, args.domain))
    except KeysUnreadable as problem:
        raise Refused(str(problem), os.EX_NOINPUT) from None
    return _check(config, records) if args.action == "check" else _print(records, args)


def records_of(config: Config, domain: str) -> list[DnsRecord]:
    """Return the records that a local domain has to publish. Raises KeysUnreadable."""
    store = key_store(config)
    keys = [(key.dns_name, store.record(key)) for key in store.keys(domain) if key.state != RETIRED]
    host = MailHost(
        ascii_domain(config.helo_name),
        own_addresses(config),
        frozenset(signing_domains(config)),
        tuple(dict.fromkeys(map(_relay_domain, config.remote.relay_hosts))),
        any(listener.port == 465 or listener.auth == "required" for listener in config.listeners),
    )
    postmaster = f"postmaster@{domain}"
    return domain_records(
        domain,
        host,
        keys,
        dmarc_reports_to=config.signing.dmarc_reports_to or postmaster,
        tls_reports_to=config.signing.tls_reports_to or postmaster,
    )


def _relay_domain(relay: Host) -> str:
    """Return the domain of a relay that probably has its SPF record: the last two labels of its name."""
    return ".".join(relay.name.split(".")[-2:])


def _print(records: list[DnsRecord], args: argparse.Namespace) -> int:
    if args.json:
        print(json.dumps([asdict(record) for record in records], indent=2))
    elif args.zone:
        print(zone_fragment(records), end="")
    else:
        for record in records:
            print(f"{record.name}  {record.kind}{'  (optional)' if record.optional else ''}")
            print(f"    {record.data}\n    {record.purpose}")
    return os.EX_OK


def _check(config: Config, records: list[DnsRecord]) -> int:
    resolver = DnsResolver(config.server.name_servers)
    wrong = False
    for record in records:
        if record.optional or record.kind == "SRV":
            continue
        try:
            state = "good" if _is_shown(resolver, record) else "missing or different"
        except DnsFailure as problem:
            state = f"could not be asked: {problem}"
        wrong = wrong or state.startswith("missing")
        print(f"{record.name} {record.kind}: {state}")
        if state.startswith("missing"):
            print(f"    {record.data}", file=sys.stderr)
    return 1 if wrong else os.EX_OK


def _is_shown(resolver: DnsResolver, record: DnsRecord) -> bool:
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

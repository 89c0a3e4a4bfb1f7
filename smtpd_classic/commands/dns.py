"""`smtpd-classic dns`: the DNS records that a domain needs, and whether DNS shows them."""

import argparse
import json
import os
import sys
from dataclasses import asdict

from smtpd_classic.commands.failures import Refused, guarded, needs
from smtpd_classic.commands.signing import domain_argument, key_store, known_domain
from smtpd_classic.config import Config, load
from smtpd_classic.dns import DnsFailure, DnsResolver
from smtpd_classic.doctor.examination import is_shown, records_of
from smtpd_classic.keys.records import DnsRecord, zone_fragment
from smtpd_classic.keys.store import KeysUnreadable

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
    store = key_store(config)
    needs(store.folder)
    try:
        records = records_of(config, store, known_domain(config, args.domain))
    except KeysUnreadable as problem:
        raise Refused(str(problem), os.EX_NOINPUT) from None
    return _check(config, records) if args.action == "check" else _print(records, args)


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
            state = "good" if is_shown(resolver, record) else "missing or different"
        except DnsFailure as problem:
            state = f"could not be asked: {problem}"
        wrong = wrong or state.startswith("missing")
        print(f"{record.name} {record.kind}: {state}")
        if state.startswith("missing"):
            print(f"    {record.data}", file=sys.stderr)
    return 1 if wrong else os.EX_OK

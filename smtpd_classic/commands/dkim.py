"""`smtpd-classic dkim`: the DKIM keys of the local domains."""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime

from smtpd_classic.commands.failures import Refused, guarded, needs
from smtpd_classic.commands.file_versions import print_versions, tell_restored
from smtpd_classic.commands.signing import domain_argument, key_store, known_domain
from smtpd_classic.config import Config, load
from smtpd_classic.doctor.examination import ALGORITHMS, algorithm_of, publication_of, signing_domains, signs
from smtpd_classic.domain_name import ascii_domain
from smtpd_classic.keys.publication import RecordState
from smtpd_classic.keys.records import DnsRecord, quoted_strings, zone_fragment
from smtpd_classic.keys.store import IN_USE, NEW, RETIRED, SEEN, DkimKey, KeyStore, KeysUnreadable, NoSuchKey

__all__ = ["HELP", "add_arguments", "run"]

HELP = "list, make and change the DKIM keys of the local domains"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="all keys, with their states")
    listing.add_argument("--json", action="store_true", help="print JSON")
    add = actions.add_parser("add", help="make a key and show its DNS record")
    domain_argument(add)
    add.add_argument("--algorithm", choices=ALGORITHMS, help="else the dkim_algorithm of the domain")
    use = actions.add_parser("use", help="sign with a key from now on; DNS must show it")
    _add_selector(use)
    use.add_argument("--force", action="store_true", help="even if DNS does not show the key")
    _add_selector(actions.add_parser("retire", help="stop signing with a key"))
    show = actions.add_parser("show", help="show the DNS record of a key")
    _add_selector(show)
    listing = actions.add_parser("versions", help="the earlier states of the keys of a domain, the latest first")
    domain_argument(listing)
    listing.add_argument("--json", action="store_true", help="print JSON")
    restore = actions.add_parser("restore", help="give the keys of a domain the states of a version")
    domain_argument(restore)
    restore.add_argument("version", metavar="VERSION")
    domain_argument(actions.add_parser("undo", help="take back the last change of the keys; once more: bring it back"))


def _add_selector(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("selector", metavar="SELECTOR")
    parser.add_argument("--domain", default="", metavar="DOMAIN", help="where several domains have such a selector")


def run(args: argparse.Namespace) -> int:
    return guarded(lambda: _refusing(args))


def _refusing(args: argparse.Namespace) -> int:
    try:
        config = load(args.config)
        store = key_store(config)
        needs(store.folder)
        return _ACTIONS[args.action](config, store, args)
    except KeysUnreadable as problem:
        raise Refused(str(problem), os.EX_NOINPUT) from None
    except NoSuchKey as problem:
        raise Refused(f"{problem}.", os.EX_DATAERR) from None


def _list(config: Config, store: KeyStore, args: argparse.Namespace) -> int:
    names = dict.fromkeys([*signing_domains(config), *store.domains()])
    keys = [key for domain in names for key in store.keys(domain)]
    if args.json:
        rows = [
            {
                "domain": key.domain,
                "selector": key.selector,
                "algorithm": key.algorithm,
                "state": key.state,
                "since": _time(key.since),
                "name": key.dns_name,
                "record": store.record(key),
            }
            for key in keys
        ]
        print(json.dumps(rows, indent=2))
        return os.EX_OK
    for key in keys:
        print(f"{key.domain}  {key.selector}  {key.algorithm}  {key.state} since {_time(key.since)}")
    for domain in names:
        if not store.keys(domain) and signs(config, domain):
            print(f"{domain} has no key; “smtpd-classic dkim add {domain}” makes one.", file=sys.stderr)
    return os.EX_OK


def _time(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M")


def _add(config: Config, store: KeyStore, args: argparse.Namespace) -> int:
    domain = known_domain(config, args.domain)
    made = store.add(domain, args.algorithm or algorithm_of(config, domain), time.time())
    _print_records(store, made)
    print("Publish the record; mail is signed as soon as DNS shows it.", file=sys.stderr)
    return os.EX_OK


def _print_records(store: KeyStore, keys: tuple[DkimKey, ...]) -> None:
    for key in keys:
        record = store.record(key)
        shown = DnsRecord(key.dns_name, "TXT", record, f"DKIM key {key.selector} of {key.domain}, {key.state}.")
        print(zone_fragment([shown]), end="")
        if quoted_strings(record).count('" "'):
            print(f"; In one piece, for the forms of web sites:\n; {record}")


def _show(config: Config, store: KeyStore, args: argparse.Namespace) -> int:
    _print_records(store, (_chosen(store, args),))
    return os.EX_OK


def _use(config: Config, store: KeyStore, args: argparse.Namespace) -> int:
    key = _chosen(store, args)
    if args.force:
        store.set_state(key, IN_USE, time.time())
        shown = RecordState.YES
    else:
        shown = publication_of(config, store).use(key, time.time())
    if shown is not RecordState.YES:
        raise Refused(
            f"{shown.value} ({key.dns_name}); with --force it is used all the same, and receivers will not be able to"
            " verify the signatures.",
            os.EX_TEMPFAIL if shown is RecordState.UNKNOWN else os.EX_DATAERR,
        )
    print(f"Mail of {key.domain} is signed with {key.selector} from now on.", file=sys.stderr)
    return os.EX_OK


def _retire(config: Config, store: KeyStore, args: argparse.Namespace) -> int:
    key = _chosen(store, args)
    store.set_state(key, RETIRED, time.time())
    if key.state == IN_USE and not any(each.state == IN_USE for each in store.keys(key.domain)):
        print(f"Mail of {key.domain} leaves without a signature from now on.", file=sys.stderr)
    if key.state in {IN_USE, SEEN, NEW}:
        print(f"Keep {key.dns_name} in DNS for 30 days, for mail that is on its way.", file=sys.stderr)
    return os.EX_OK


def _versions(config: Config, store: KeyStore, args: argparse.Namespace) -> int:
    return print_versions(store.versions(known_domain(config, args.domain)), as_json=args.json)


def _restore(config: Config, store: KeyStore, args: argparse.Namespace) -> int:
    return _put_back(store, known_domain(config, args.domain), args.version)


def _undo(config: Config, store: KeyStore, args: argparse.Namespace) -> int:
    domain = known_domain(config, args.domain)
    kept = store.versions(domain)
    if not kept:
        raise Refused(f"there is no earlier version of the keys of {domain}.", os.EX_DATAERR)
    return _put_back(store, domain, kept[0].name)


def _put_back(store: KeyStore, domain: str, name: str) -> int:
    changes = store.changes_of_restore(domain, name)
    store.restore(domain, name, time.time())
    return tell_restored(name, changes)


def _chosen(store: KeyStore, args: argparse.Namespace) -> DkimKey:
    """Return the key with the selector that was given. Raises Refused."""
    domains = [_ascii(args.domain)] if args.domain else store.domains()
    found = [key for domain in domains for key in store.keys(domain) if key.selector == args.selector]
    if len(found) > 1:
        names = ", ".join(key.domain for key in found)
        raise Refused(f"{names} have a key with that selector; choose one by --domain.", os.EX_DATAERR)
    if not found:
        raise Refused(f"there is no key with the selector {args.selector}.", os.EX_DATAERR)
    return found[0]


def _ascii(domain: str) -> str:
    """Return the domain of the option in A-labels. Raises Refused."""
    try:
        return ascii_domain(domain)
    except ValueError as problem:
        raise Refused(f"{problem}.", os.EX_DATAERR) from None


_ACTIONS: dict[str, Callable[[Config, KeyStore, argparse.Namespace], int]] = {
    "list": _list,
    "add": _add,
    "use": _use,
    "retire": _retire,
    "show": _show,
    "versions": _versions,
    "restore": _restore,
    "undo": _undo,
}

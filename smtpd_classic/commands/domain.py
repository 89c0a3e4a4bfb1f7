"""`smtpd-classic domain`: the local domains, their other names and their catch-all addresses."""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from typing import NamedTuple

from smtpd_classic.accounts import Accounts, list_accounts, list_aliases
from smtpd_classic.accounts.directory import IN_DOVECOT
from smtpd_classic.accounts.move_domain import move_first_account, staying_addresses
from smtpd_classic.commands.failures import Refused, guarded, needs
from smtpd_classic.commands.signing import key_store
from smtpd_classic.config import Config, ConfigProblems, load, parse
from smtpd_classic.config.editing import ChangedMeanwhile, Edited, LockHeld
from smtpd_classic.doctor.examination import signing_domains
from smtpd_classic.domain_name import ascii_domain, comparable_domain
from smtpd_classic.keys.store import KeysUnreadable

__all__ = ["HELP", "add_arguments", "run"]

HELP = "list and change the local domains"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="all local domains")
    listing.add_argument("--json", action="store_true", help="print JSON")
    add = actions.add_parser("add", help="add a local domain")
    _add_domain(add)
    add.add_argument("--catch-all", default="", metavar="ADDRESS", help="gets the mail for addresses that do not exist")
    delete = actions.add_parser("delete", help="delete a local domain; the mail of its accounts stays")
    _add_domain(delete)
    delete.add_argument("--force", action="store_true", help="even if there are accounts or aliases in it")
    alias = actions.add_parser("alias", help="show or change the other names of a domain")
    _add_domain(alias)
    alias.add_argument("--add", action="append", default=[], metavar="DOMAIN")
    alias.add_argument("--remove", action="append", default=[], metavar="DOMAIN")
    catch_all = actions.add_parser("catch-all", help="set or end the catch-all address of a domain")
    _add_domain(catch_all)
    catch_all.add_argument("address", nargs="?", default="", metavar="ADDRESS", help="none: unknown users are refused")
    primary = actions.add_parser("primary", help="set the primary domain; postmaster, root and the first account move")
    _add_domain(primary)


def _add_domain(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("domain", metavar="DOMAIN", type=lambda text: text.lower().removesuffix("."))


def run(args: argparse.Namespace) -> int:
    return guarded(lambda: _refusing(args))


def _refusing(args: argparse.Namespace) -> int:
    try:
        config = load(args.config)
        if "domain" in args:
            args.domain = _as_written(config, args.domain)
        return _ACTIONS[args.action](config, args)
    except (LockHeld, ChangedMeanwhile) as busy:
        raise Refused(str(busy), os.EX_TEMPFAIL) from None
    except ValueError as wrong:
        raise Refused(str(wrong), os.EX_DATAERR) from None


def _as_written(config: Config, domain: str) -> str:
    """Return the name of a domain in the spelling of the file, if it is there."""
    names = (*(each.name for each in config.domains), config.server.primary_domain)
    return next((name for name in names if comparable_domain(name) == comparable_domain(domain)), domain)


class _Listed(NamedTuple):
    name: str
    primary: bool
    aliases: tuple[str, ...]
    catch_all: str
    accounts: int | None
    """None if Dovecot knows them."""


def _list(config: Config, args: argparse.Namespace) -> int:
    primary, is_elsewhere = config.server.primary_domain, config.server.accounts == IN_DOVECOT
    if not is_elsewhere:
        needs(config.server.users_file)
    found = {each.name: (each.aliases, each.catch_all) for each in config.domains}
    used = [each.address.rpartition("@")[2] for each in list_accounts(config)]
    rows = [
        _Listed(name, name == primary, *found.get(name, ((), "")), None if is_elsewhere else used.count(name))
        for name in dict.fromkeys([primary, *found])
    ]
    if args.json:
        print(json.dumps([row._asdict() for row in rows], indent=2, ensure_ascii=False))
        return os.EX_OK
    for row in rows:
        number = f"{row.accounts} account{'' if row.accounts == 1 else 's'}"
        notes = ["accounts in Dovecot" if row.accounts is None else number]
        notes += ["primary"] if row.primary else []
        notes += [f"also {', '.join(row.aliases)}"] if row.aliases else []
        notes += [f"catch-all {row.catch_all}"] if row.catch_all else []
        print(f"{row.name}: {'; '.join(notes)}")
    return os.EX_OK


def _add(config: Config, args: argparse.Namespace) -> int:
    edited = Edited(config.path)
    edited.add(f"domain {args.domain}")
    if args.catch_all:
        edited.set(f"domain {args.domain}", "catch_all", args.catch_all)
    status = _applied(edited)
    _make_key(config, ascii_domain(args.domain))
    return status


def _make_key(config: Config, domain: str) -> None:
    """Make the DKIM key of a new domain; keys that it had before wait for DNS. The domain is in the file already: a
    failure is told and changes nothing."""
    try:
        store = key_store(config)
        if domain not in signing_domains(config):
            store.stop_signing(domain, time.time())
        if not store.keys(domain):
            store.add(domain, "rsa2048", time.time())
            print(f"A DKIM key is made; “smtpd-classic dns records {domain}” shows the DNS records.", file=sys.stderr)
    except (Refused, KeysUnreadable, OSError) as problem:
        print(f"No DKIM key was made, “smtpd-classic dkim add {domain}” makes one: {problem}", file=sys.stderr)


def _delete(config: Config, args: argparse.Namespace) -> int:
    _section(config, args.domain)
    accounts = [each.address for each in list_accounts(config) if each.address.endswith(f"@{args.domain}")]
    aliases = [name for name, _ in list_aliases(config) if name.endswith(f"@{args.domain}")]
    if (accounts or aliases) and args.domain != config.server.primary_domain and not args.force:
        some = ", ".join([*accounts, *aliases][:3])
        raise Refused(
            f"{args.domain} has accounts or aliases ({some}); delete them first, or use --force.", os.EX_DATAERR
        )
    edited = Edited(config.path)
    edited.delete(f"domain {args.domain}")
    return _applied(edited)


def _section(config: Config, domain: str) -> str:
    """The title of the domain's section."""
    if domain not in {each.name for each in config.domains}:
        raise Refused(f"the file has no section [domain {domain}].", os.EX_DATAERR)
    return f"domain {domain}"


def _alias(config: Config, args: argparse.Namespace) -> int:
    if not args.add and not args.remove:
        title = _section(config, args.domain)
        names = next(each.aliases for each in config.domains if f"domain {each.name}" == title)
        print("\n".join(names), end="\n" if names else "")
        return os.EX_OK
    names = next((each.aliases for each in config.domains if each.name == args.domain), ())
    if not names and args.domain != config.server.primary_domain:
        _section(config, args.domain)
    gone = set(map(comparable_domain, args.remove))
    missing = [name for name in args.remove if comparable_domain(name) not in set(map(comparable_domain, names))]
    if missing:
        raise Refused(f"{', '.join(missing)} is no other name of {args.domain}.", os.EX_DATAERR)
    edited = Edited(config.path)
    kept = [name for name in names if comparable_domain(name) not in gone]
    edited.set(f"domain {args.domain}", "aliases", "\n".join([*kept, *args.add]))
    return _applied(edited)


def _primary(config: Config, args: argparse.Namespace) -> int:
    old = config.server.primary_domain
    if args.domain == old:
        print("Nothing changed.", file=sys.stderr)
        return os.EX_OK
    edited = Edited(config.path)
    edited.set("server", "primary_domain", args.domain)
    local, _, domain = config.basic.postmaster.rpartition("@")
    if local and domain == old:
        edited.set("basic", "postmaster", f"{local}@{args.domain}")
    staying = staying_addresses(config)
    if staying and not edited.has(f"domain {old}"):
        edited.add(f"domain {old}")
    moved = move_first_account(config, args.domain, edited.apply)
    if moved:
        print(f"{moved} is the first account now.", file=sys.stderr)
    if staying:
        print(f"{old} stays a local domain, with {', '.join(staying[:3])}.", file=sys.stderr)
    print("It takes effect with the next reload of the server.", file=sys.stderr)
    return os.EX_OK


def _catch_all(config: Config, args: argparse.Namespace) -> int:
    edited = Edited(config.path)
    if args.address:
        if args.domain != config.server.primary_domain:
            _section(config, args.domain)
        edited.set(f"domain {args.domain}", "catch_all", args.address)
    else:
        edited.unset(_section(config, args.domain), "catch_all")
    return _applied(edited)


def _applied(edited: Edited) -> int:
    if not edited.changed:
        print("Nothing changed.", file=sys.stderr)
        return os.EX_OK
    _refuse_dead_addresses(edited)
    print(edited.diff(), end="", file=sys.stderr)
    edited.apply()
    print("It takes effect with the next reload of the server.", file=sys.stderr)
    return os.EX_OK


def _refuse_dead_addresses(edited: Edited) -> None:
    """The postmaster and the catch-alls must lead somewhere after the change if they did before."""
    if any(problem.is_error for problem in edited.problems()):
        return  # apply() says so
    before = {problem.text for problem in Accounts.check(load(edited.path))}
    found = Accounts.check(parse(edited.file_text, edited.path))
    worse = [each for each in found if each.is_error and each.file == edited.path and each.text not in before]
    if worse:
        raise ConfigProblems(worse)


_ACTIONS: dict[str, Callable[[Config, argparse.Namespace], int]] = {
    "list": _list,
    "add": _add,
    "delete": _delete,
    "alias": _alias,
    "catch-all": _catch_all,
    "primary": _primary,
}

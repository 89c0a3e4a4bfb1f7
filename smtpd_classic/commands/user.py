"""`smtpd-classic user`: the accounts."""

import argparse
import json
import os
import sys
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from smtpd_classic.accounts import (
    STATUSES,
    Account,
    AccountsElsewhere,
    Forwarding,
    add_account,
    change_account,
    delete_account,
    forwarding,
    list_accounts,
    list_aliases,
    set_forwarding,
    the_account,
)
from smtpd_classic.accounts.address import domain_table
from smtpd_classic.accounts.directory import IN_DOVECOT
from smtpd_classic.accounts.passwords import is_old_scheme
from smtpd_classic.commands.failures import Refused, guarded, needs
from smtpd_classic.commands.file_versions import add_version_actions, version_actions
from smtpd_classic.commands.new_password import add_password_arguments, new_password
from smtpd_classic.commands.suspension import SUSPENSION_ACTIONS, add_suspension_actions
from smtpd_classic.config import Config, load
from smtpd_classic.config.kinds import SIZE

__all__ = ["HELP", "add_arguments", "run"]

_INSTEAD = {
    "list": "“doveadm user '*'” lists them",
    "show": "“doveadm user ADDRESS” shows one",
    "password": "“doveadm pw” makes a hash for its user database",
    "quota": "the quota is in its user database; “doveadm quota get -u ADDRESS” shows it",
    "forward": "“smtpd-classic alias set ADDRESS ADDRESS TARGET” forwards mail, and a copy stays in the mailbox",
}
HELP = "list, add and change the accounts"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="all accounts, or those of one domain")
    listing.add_argument("domain", nargs="?", metavar="DOMAIN")
    listing.add_argument("--json", action="store_true", help="print JSON")
    show = actions.add_parser("show", help="one account, with the aliases that lead to it")
    _add_address(show)
    show.add_argument("--json", action="store_true", help="print JSON")
    add = actions.add_parser("add", help="add an account")
    _add_address(add)
    add.add_argument("--name", default="", metavar="NAME", help="the full name")
    add.add_argument("--quota", type=_size, default=0, metavar="SIZE", help="the quota, as in 500M; 0: none")
    add_password_arguments(add)
    password = actions.add_parser("password", help="set the password")
    _add_address(password)
    add_password_arguments(password)
    name = actions.add_parser("name", help="set the full name")
    _add_address(name)
    name.add_argument("name", metavar="NAME")
    status = actions.add_parser("status", help="normal; disabled: no mail, no login; suspended: mail, but no login")
    _add_address(status)
    status.add_argument("status", choices=STATUSES)
    quota = actions.add_parser("quota", help="set the quota")
    _add_address(quota)
    quota.add_argument("quota", type=_size, metavar="SIZE", help="as in 500M or 2G; 0: none")
    _add_grant_arguments(
        actions.add_parser("may-send-as", help="addresses that the account may send from besides its own")
    )
    _add_forward_arguments(
        actions.add_parser("forward", help="forward the mail of an account; without TARGET: show where it goes")
    )
    junk = actions.add_parser("junk-folder", help="set the junk folder of an account; without FOLDER: the server's")
    _add_address(junk)
    junk.add_argument("folder", nargs="?", default="", metavar="FOLDER", help="as in .Spam; inbox: marked, no folder")
    delete = actions.add_parser("delete", help="delete an account; its mail stays")
    _add_address(delete)
    delete.add_argument("--force", action="store_true", help="even if an alias or the postmaster then leads nowhere")
    add_suspension_actions(actions)
    add_version_actions(actions, "accounts")


def _add_address(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("address", metavar="ADDRESS", help="user@domain, or user in the primary domain")


def _add_grant_arguments(parser: argparse.ArgumentParser) -> None:
    _add_address(parser)
    parser.add_argument("--add", action="append", default=[], metavar="ADDRESS", help="an address, or *@domain")
    parser.add_argument("--remove", action="append", default=[], metavar="ADDRESS")


def _add_forward_arguments(parser: argparse.ArgumentParser) -> None:
    parser.usage = "%(prog)s [-h] ADDRESS [--keep] [TARGET ...] | ADDRESS --off"
    parser.add_argument(
        "words", nargs="*", metavar="ADDRESS TARGET", help="the account, and the addresses that get its mail"
    )
    # Each takes the words behind it, because argparse does not look for more of them behind an option otherwise.
    parser.add_argument("--keep", nargs="*", metavar="TARGET", help="keep a copy of each message in the mailbox")
    parser.add_argument("--off", nargs="*", metavar="ADDRESS", help="end it: the mailbox alone gets the mail")


def _size(text: str) -> int:
    try:
        return SIZE.parse(text)
    except ValueError as problem:
        raise argparse.ArgumentTypeError(str(problem)) from None


def run(args: argparse.Namespace) -> int:
    return guarded(lambda: _act(load(args.config), args))


def _act(config: Config, args: argparse.Namespace) -> int:
    if config.server.accounts == IN_DOVECOT and args.action not in SUSPENSION_ACTIONS:
        instead = _INSTEAD.get(args.action, "change it in the user database of Dovecot")
        raise AccountsElsewhere(f"the accounts live in Dovecot (accounts = dovecot): {instead}.")
    if config.server.accounts != IN_DOVECOT:
        needs(config.server.users_file)
    return _ACTIONS[args.action](config, args)


def _list(config: Config, args: argparse.Namespace) -> int:
    accounts = list_accounts(config)
    if args.domain:
        name = domain_table(config).local(args.domain) or args.domain
        accounts = tuple(each for each in accounts if each.address.rpartition("@")[2] == name)
    if args.json:
        print(json.dumps([_shown(each) for each in accounts], indent=2, ensure_ascii=False))
        return os.EX_OK
    width = max((len(each.address) for each in accounts), default=0)
    for each in accounts:
        quota = SIZE.format(each.quota) if each.quota else "-"
        print(f"{each.address:{width}}  {each.status:9}  {quota:>8}  {each.full_name}".rstrip())
    if old := [each.address for each in accounts if is_old_scheme(each.password)]:
        print(
            f"Stored with an old scheme, replaced by “smtpd-classic user password”: {', '.join(old)}.", file=sys.stderr
        )
    return os.EX_OK


def _shown(account: Account) -> dict[str, Any]:
    """Return the fields for JSON. Of the hash they have the scheme alone."""
    fields = asdict(account)
    del fields["forward_only"]  # `forwarding` has it, with the targets
    del fields["junk_maildir"], fields["counts_junk"]
    password = fields.pop("password")
    scheme = password[1 : password.find("}")] if password.startswith("{") else ("CRYPT" if password else "")
    return fields | {"password_scheme": scheme.upper(), "old_scheme": is_old_scheme(account.password)}


def _show(config: Config, args: argparse.Namespace) -> int:
    account = the_account(config, args.address)
    fields = _shown(account)
    found = forwarding(config, account.address)
    fields |= {"forward_to": list(found.targets), "keeps_copy": found.keep}
    fields["aliases"] = [name for name, targets in list_aliases(config) if account.address in targets]
    if args.json:
        print(json.dumps(fields, indent=2, ensure_ascii=False))
        return os.EX_OK
    fields["forward_to"] = _forwarding_text(found)
    del fields["keeps_copy"]
    fields["quota"] = SIZE.format(account.quota) if account.quota else "none"
    for key, value in fields.items():
        text = ", ".join(value) if isinstance(value, list | tuple) else str(value)
        print(f"{key.replace('_', ' ') + ':':17}{text or '-'}")
    return os.EX_OK


def _add(config: Config, args: argparse.Namespace) -> int:
    password = new_password(args, domain_table(config).canonical(args.address))
    address = add_account(config, args.address, password.stored, full_name=args.name, quota=args.quota)
    print(f"Added {address}.", file=sys.stderr)
    print(password.generated, end="\n" if password.generated else "")
    return os.EX_OK


def _password(config: Config, args: argparse.Namespace) -> int:
    account = the_account(config, args.address)  # before a password is typed in vain
    password = new_password(args, account.address)
    change_account(config, args.address, password=password.stored)
    print(password.generated, end="\n" if password.generated else "")
    return os.EX_OK


def _name(config: Config, args: argparse.Namespace) -> int:
    change_account(config, args.address, full_name=args.name)
    return os.EX_OK


def _status(config: Config, args: argparse.Namespace) -> int:
    change_account(config, args.address, status=args.status)
    return os.EX_OK


def _quota(config: Config, args: argparse.Namespace) -> int:
    change_account(config, args.address, quota=args.quota)
    return os.EX_OK


def _junk_folder(config: Config, args: argparse.Namespace) -> int:
    change_account(config, args.address, own_junk_folder=args.folder)
    return os.EX_OK


def _may_send_as(config: Config, args: argparse.Namespace) -> int:
    account = the_account(config, args.address)
    missing = [grant for grant in args.remove if grant.lower() not in account.may_send_as]
    if missing:
        raise Refused(f"{account.address} may not send as {', '.join(missing)} anyway.", os.EX_DATAERR)
    kept = [grant for grant in account.may_send_as if grant not in {each.lower() for each in args.remove}]
    grants = tuple(dict.fromkeys([*kept, *(each.lower() for each in args.add)]))
    if grants != account.may_send_as:
        change_account(config, args.address, may_send_as=grants)
    print("\n".join(grants), end="\n" if grants else "")
    return os.EX_OK


def _forward(config: Config, args: argparse.Namespace) -> int:
    words = [*args.words, *(args.keep or ()), *(args.off or ())]
    if not words:
        raise Refused("name the account: smtpd-classic user forward ADDRESS [--keep] TARGET.", os.EX_USAGE)
    address, *targets = words
    keep, off = args.keep is not None, args.off is not None
    if off and (targets or keep):
        raise Refused("--off ends the forwarding; give it without targets and --keep.", os.EX_USAGE)
    if keep and not targets:
        raise Refused("--keep needs at least one target.", os.EX_USAGE)
    if targets or off:
        set_forwarding(config, address, targets, keep=keep or off)
    print(_forwarding_text(forwarding(config, address)))
    return os.EX_OK


def _forwarding_text(found: Forwarding) -> str:
    if not found.targets:
        return "not forwarded"
    return f"{', '.join(found.targets)}; {'a copy stays in the mailbox' if found.keep else 'no copy is kept'}"


def _delete(config: Config, args: argparse.Namespace) -> int:
    account = the_account(config, args.address)
    delete_account(config, args.address, force=args.force)
    print(f"Deleted {account.address}; its mail is still in {account.mail_place}.", file=sys.stderr)
    if not list_accounts(config):
        print("It was the last account; a running server keeps it until “smtpd-classic reload”.", file=sys.stderr)
    return os.EX_OK


_ACTIONS: dict[str, Callable[[Config, argparse.Namespace], int]] = {
    "list": _list,
    "show": _show,
    "add": _add,
    "password": _password,
    "name": _name,
    "status": _status,
    "quota": _quota,
    "junk-folder": _junk_folder,
    "may-send-as": _may_send_as,
    "forward": _forward,
    "delete": _delete,
    **SUSPENSION_ACTIONS,
    **version_actions("users"),
}

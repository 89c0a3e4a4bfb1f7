"""`smtpd-classic alias`: addresses that stand for other addresses."""

import argparse
import json
import os
import sys
from collections.abc import Callable

from smtpd_classic.accounts import delete_alias, list_aliases, set_alias
from smtpd_classic.commands.failures import guarded, needs
from smtpd_classic.commands.file_versions import add_version_actions, version_actions
from smtpd_classic.config import Config, load

__all__ = ["HELP", "add_arguments", "run"]

HELP = "list, set and delete the aliases"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="all aliases and their targets")
    listing.add_argument("--json", action="store_true", help="print JSON")
    setting = actions.add_parser("set", help="add an alias, or give one other targets")
    setting.add_argument("name", metavar="NAME", help="user@domain, or user for an alias in every local domain")
    setting.add_argument("targets", nargs="+", metavar="TARGET", help="addresses, here or elsewhere")
    delete = actions.add_parser("delete", help="delete an alias")
    delete.add_argument("name", metavar="NAME", help="user@domain, or user for an alias in every local domain")
    delete.add_argument(
        "--force", action="store_true", help="even if another alias or the postmaster then leads nowhere"
    )
    add_version_actions(actions, "aliases")


def run(args: argparse.Namespace) -> int:
    return guarded(lambda: _act(load(args.config), args))


def _act(config: Config, args: argparse.Namespace) -> int:
    needs(config.server.aliases_file)
    return _ACTIONS[args.action](config, args)


def _list(config: Config, args: argparse.Namespace) -> int:
    aliases = list_aliases(config)
    if args.json:
        print(
            json.dumps([{"name": name, "targets": targets} for name, targets in aliases], indent=2, ensure_ascii=False)
        )
        return os.EX_OK
    for name, targets in aliases:
        print(f"{name}: {', '.join(targets)}")
    return os.EX_OK


def _set(config: Config, args: argparse.Namespace) -> int:
    set_alias(config, args.name, args.targets)
    return os.EX_OK


def _delete(config: Config, args: argparse.Namespace) -> int:
    delete_alias(config, args.name, force=args.force)
    print(f"Deleted {args.name}.", file=sys.stderr)
    return os.EX_OK


_ACTIONS: dict[str, Callable[[Config, argparse.Namespace], int]] = {
    "list": _list,
    "set": _set,
    "delete": _delete,
    **version_actions("aliases"),
}

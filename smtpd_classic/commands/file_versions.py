"""`versions`, `restore` and `undo` of `smtpd-classic user` and `alias`, and the list of versions of any file."""

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterable

from smtpd_classic.accounts.file_versions import (
    AccountsFile,
    changes_of_restore,
    file_versions,
    restore_file,
    undo_file,
)
from smtpd_classic.config import Config
from smtpd_classic.config.versions import Version

__all__ = ["add_version_actions", "print_versions", "tell_restored", "version_actions"]

_FORCE = "even if an alias or the postmaster then leads nowhere"


def add_version_actions(actions: "argparse._SubParsersAction[argparse.ArgumentParser]", what: str) -> None:
    listing = actions.add_parser("versions", help=f"the earlier versions of the {what}, the latest first")
    listing.add_argument("--json", action="store_true", help="print JSON")
    restore = actions.add_parser("restore", help=f"put a version of the {what} back into force")
    restore.add_argument("version", metavar="VERSION")
    undo = actions.add_parser("undo", help=f"take back the last change of the {what}; once more: bring it back")
    for each in (restore, undo):
        each.add_argument("--force", action="store_true", help=_FORCE)


def version_actions(which: AccountsFile) -> dict[str, Callable[[Config, argparse.Namespace], int]]:
    """Return the three actions for one of the files."""

    def listing(config: Config, args: argparse.Namespace) -> int:
        return print_versions(file_versions(config, which), as_json=args.json)

    def restore(config: Config, args: argparse.Namespace) -> int:
        changes = changes_of_restore(config, which, args.version)
        restore_file(config, which, args.version, force=args.force)
        return tell_restored(args.version, changes)

    def undo(config: Config, args: argparse.Namespace) -> int:
        return tell_restored(*undo_file(config, which, force=args.force))

    return {"versions": listing, "restore": restore, "undo": undo}


def print_versions(found: Iterable[Version], *, as_json: bool) -> int:
    """Print the versions of a file, the latest first. Return the exit status."""
    if as_json:
        rows = [{"name": each.name, "at": each.at.isoformat(), "size": each.size, "who": each.who} for each in found]
        print(json.dumps(rows, indent=2))
        return os.EX_OK
    for each in found:
        print(f"{each.name}  {each.at.astimezone():%Y-%m-%d %H:%M:%S}  {each.size} bytes")
    return os.EX_OK


def tell_restored(name: str, changes: tuple[str, ...]) -> int:
    """Print the changes of a restore, and that it is done; return the exit status."""
    for change in changes:
        print(change, file=sys.stderr)
    print(f"{name} is in force again; the replaced file is kept as the latest version.", file=sys.stderr)
    return os.EX_OK

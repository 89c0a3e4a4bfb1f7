"""`smtpd-classic restore`: make a server from a backup, where there is none."""

import argparse
import os
import sys
import time

from smtpd_classic.backup import NotRestored, restore
from smtpd_classic.commands.check import all_problems
from smtpd_classic.commands.failures import Refused, guarded

__all__ = ["HELP", "add_arguments", "run"]

HELP = "restore a backup where no server is"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="a file that “smtpd-classic backup” has made")
    parser.add_argument(
        "--into", metavar="DIR", help="put everything into this folder, with the configuration file changed to say so"
    )


def run(args: argparse.Namespace) -> int:
    return guarded(lambda: _restore(args))


def _restore(args: argparse.Namespace) -> int:
    into = os.path.abspath(args.into) if args.into else None
    try:
        done = restore(args.file, os.path.abspath(args.config), into, time.time(), lambda path: all_problems(path)[1])
    except NotRestored as problem:
        raise Refused(str(problem), os.EX_DATAERR) from None
    print(f"Restored: {done.settings} files of settings, {done.mail} messages in mailboxes.", file=sys.stderr)
    if done.queue_ids:
        print(
            f"{len(done.queue_ids)} queued messages are held, because they may have been delivered since the backup: "
            f"“smtpd-classic --config {done.config_path} queue release --restored” sends them.",
            file=sys.stderr,
        )
    return os.EX_OK

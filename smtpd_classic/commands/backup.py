"""`smtpd-classic backup`: save a server to one file, while it runs."""

import argparse
import gzip
import os
import sys
import time
from typing import IO, cast

from smtpd_classic.backup import Saved, save
from smtpd_classic.backup.draft import DraftInUse, new_draft, remove_leftovers
from smtpd_classic.commands.failures import Refused, guarded
from smtpd_classic.config import Config, load
from smtpd_classic.durable import sync_folder
from smtpd_classic.runtime.last_backup import note_backup
from spool import SpoolBroken

__all__ = ["HELP", "add_arguments", "run"]

HELP = "save configuration, accounts, keys, queue and mailboxes to one file"
_LEVEL = 6


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="the tar.gz file to write, which must not exist; - for stdout")
    parser.add_argument("--mail", action="store_true", help="save the mailboxes too")


def run(args: argparse.Namespace) -> int:
    return guarded(lambda: _backup(load(args.config), args.file, mail=args.mail))


def _backup(config: Config, path: str, *, mail: bool) -> int:
    try:
        saved = _save(config, sys.stdout.buffer, mail=mail) if path == "-" else _save_to(config, path, mail=mail)
    except SpoolBroken as problem:
        raise Refused(str(problem), os.EX_IOERR) from None
    try:
        note_backup(config.server.spool_folder, time.time())
    except OSError as problem:
        print(f"The time of the backup cannot be stored for the doctor: {problem.strerror or problem}", file=sys.stderr)
    mailboxes = f", {saved.mail} messages in mailboxes" if mail else "; the mailboxes were not asked for (--mail)"
    print(f"Saved: {saved.settings} files of settings, {saved.queued} queued messages{mailboxes}.", file=sys.stderr)
    return os.EX_OK


def _save_to(config: Config, path: str, *, mail: bool) -> Saved:
    """Write the file under a temporary name. It holds secrets, so that no other user may read it."""
    if os.path.lexists(path):
        raise Refused(f"{path} exists; a backup is not written over it.", os.EX_CANTCREAT)
    folder = os.path.dirname(os.path.abspath(path))
    try:
        draft, descriptor = new_draft(path)
    except DraftInUse as problem:
        raise Refused(str(problem), os.EX_CANTCREAT) from None
    except (FileNotFoundError, NotADirectoryError) as problem:
        raise Refused(f"{path} cannot be made: {problem.strerror}.", os.EX_CANTCREAT) from None
    remove_leftovers(folder)
    try:
        with open(descriptor, "wb") as file:
            saved = _save(config, file, mail=mail)
            file.flush()
            os.fsync(descriptor)
        os.link(draft, path)  # never over a file that was made meanwhile
    finally:
        os.unlink(draft)
    sync_folder(folder)
    return saved


def _save(config: Config, file: IO[bytes], *, mail: bool) -> Saved:
    with gzip.GzipFile(fileobj=file, mode="wb", compresslevel=_LEVEL, filename="") as packed:
        return save(config, cast(IO[bytes], packed), time.time(), mail=mail)

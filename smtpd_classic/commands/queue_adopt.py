"""`smtpd-classic queue adopt`: move the messages of a dead server into the queue of this one."""

import argparse
import os
import pwd
import stat
import sys
from typing import Any

from smtpd_classic.commands.failures import Refused
from smtpd_classic.config import Config
from smtpd_classic.durable import file_system
from smtpd_classic.log import Log, printable
from smtpd_classic.runtime import Runtime
from smtpd_classic.submission import maildrop
from spool import Spool
from spool.adopt import adopt

__all__ = ["add_arguments", "run"]

_SHARED = ("nfs", "cifs", "smb", "ceph", "fuse", "gfs", "ocfs", "gluster", "lustre", "9p", "afs", "beegfs", "virtiofs")


def add_arguments(actions: Any) -> None:
    adopting = actions.add_parser("adopt", help="move the messages of a dead server into this queue")
    adopting.add_argument("folder", metavar="FOLDER", help="the spool folder of the other server")
    adopting.add_argument(
        "--node-is-dead",
        action="store_true",
        help="the other machine is certainly off; needed where a lock does not tell that",
    )


def run(config: Config, spool: Spool, args: argparse.Namespace) -> int:
    old = Spool(os.path.abspath(args.folder), lambda words: print(words, file=sys.stderr))
    lock = _lock(old, spool, node_is_dead=args.node_is_dead)
    try:
        return _adopt(config, old, spool)
    finally:
        os.close(lock)


def _lock(old: Spool, spool: Spool, *, node_is_dead: bool) -> int:
    """Return the descriptor with the lock of the old spool. Raises Refused and SpoolBroken."""
    for folder in (old.folders.new, old.folders.cur, old.folders.state):
        if not _is_folder(folder):
            raise Refused(f"{old.path} is not a spool folder: there is no {folder}.", os.EX_NOINPUT)
    if os.path.samefile(old.path, spool.path):
        raise Refused(f"{old.path} is the spool folder of this server.", os.EX_USAGE)
    kind = file_system(old.path)
    if kind.startswith(_SHARED) and not node_is_dead:
        raise Refused(
            f"{old.path} is on a shared file system ({kind}), where no lock tells that the other server is down. "
            "Switch that machine off, then use --node-is-dead.",
            os.EX_USAGE,
        )
    lock = old.lock(exclusive=True)
    if lock is None:
        raise Refused(f"A server uses {old.path}; stop it first.", os.EX_TEMPFAIL)
    return lock


def _is_folder(path: str) -> bool:
    """Return True if it is a folder. Raises Refused if this user, to which root has changed, may not see it."""
    try:
        return stat.S_ISDIR(os.stat(path).st_mode)
    except PermissionError:
        user = pwd.getpwuid(os.geteuid()).pw_name
        said = f"The user {user} may not read {path}; “chown -R {user}” gives the whole spool folder to it."
        raise Refused(said, os.EX_NOPERM) from None
    except OSError:
        return False


def _adopt(config: Config, old: Spool, spool: Spool) -> int:
    spool.make()
    maildrop.make(spool.path)
    runtime, log = Runtime(config.server.run_folder), Log(config.server.log)
    moved, busy = 0, 0
    for entry in adopt(old, spool):
        if not entry.now:
            busy += 1
            print(f"{entry.before} is in use; it is left in {old.path}.", file=sys.stderr)
            continue
        moved += 1
        if entry.now != entry.before:
            log.write("adopt", f"{entry.before} of {printable(old.path, 200)} is {entry.now} here: its name was taken")
        runtime.wake(entry.now)
    letters, left = _adopt_maildrop(old, spool)
    log.write("adopt", f"{moved} messages and {letters} of maildrop/ were adopted from {printable(old.path, 200)}")
    print(f"Adopted: {moved} messages, {letters} of maildrop/.", file=sys.stderr)
    return os.EX_TEMPFAIL if busy or left else os.EX_OK


def _adopt_maildrop(old: Spool, spool: Spool) -> tuple[int, int]:
    """Return the number of letters that were moved, and of those that were left."""
    moved, left = 0, 0
    if not os.path.isdir(old.folders.maildrop):
        return moved, left
    for name in sorted(os.listdir(old.folders.maildrop)):
        try:
            maildrop.move(name, old.folders.maildrop, spool.folders.maildrop)
            moved += 1
        except (maildrop.CorruptMaildropFile, OSError) as why:
            left += 1
            words = printable(f"{old.folders.maildrop}/{name}: {why}; it is left there.", 900)
            print(words, file=sys.stderr)
    return moved, left

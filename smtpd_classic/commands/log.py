"""`smtpd-classic log`: the last lines of the log, what follows, or all about one message."""

import argparse
import os
import re
import sys
from collections.abc import Callable

from smtpd_classic.commands.failures import Refused, guarded
from smtpd_classic.config import load
from smtpd_classic.log import printable
from smtpd_classic.log_reader import LogFollower, last_lines, lines

__all__ = ["HELP", "add_arguments", "log_file", "run"]

HELP = "show or follow the log"
_OURS = " smtpd-classic/"
_SYSTEM_LOGS = ("/var/log/mail.log", "/var/log/maillog", "/var/log/syslog", "/var/log/messages")
_LONGEST_LINE = 8000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-n", dest="number", type=int, default=20, metavar="LINES", help="how many lines (%(default)s)")
    parser.add_argument("-f", "--follow", action="store_true", help="go on showing lines as they come")
    parser.add_argument("--id", metavar="QUEUEID", help="only the lines about this message, all of them")


def run(args: argparse.Namespace) -> int:
    return guarded(lambda: _show(args))


def _show(args: argparse.Namespace) -> int:
    path = log_file(load(args.config).server.log)
    wanted = _wanted(args.id)
    follower = LogFollower(path)  # first, so that no line falls between what was and what comes
    if args.id:
        found = [line for each in (path + ".1", path) for line in lines(each) if wanted(line)]
    else:
        found = last_lines(path, max(0, args.number), wanted, follower.offset)
    for line in found:
        _put(line)
    if not args.follow:
        return os.EX_OK if found or not args.id else os.EX_DATAERR
    while True:
        for line in follower.wait():
            if wanted(line):
                _put(line)


def log_file(target: str) -> str:
    """The file to read for what `[server] log` says. Raises Refused."""
    if target.startswith("/"):
        return target
    if target == "syslog":
        found = next((path for path in _SYSTEM_LOGS if os.access(path, os.R_OK)), None)
        if found is not None:
            return found
        raise Refused("no log of the system can be read here; try “journalctl -t smtpd-classic”.", os.EX_NOINPUT)
    raise Refused("the server logs to standard error; under systemd, see “journalctl -u smtpd-classic”.", os.EX_NOINPUT)


def _wanted(queue_id: str | None) -> Callable[[str], bool]:
    if not queue_id:
        return lambda line: _OURS in line
    about = re.compile(rf"\b{re.escape(queue_id)}\b")
    return lambda line: _OURS in line and about.search(line) is not None


def _put(line: str) -> None:
    # A log of the system holds others' lines too, and ours may have been tampered with: the terminal is not theirs.
    sys.stdout.write(printable(line, _LONGEST_LINE) + "\n")
    sys.stdout.flush()

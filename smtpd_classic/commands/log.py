"""`smtpd-classic log`: the last lines of the log, what follows, or all about one message."""

import argparse
import os
import re
import sys
from collections.abc import Callable

from smtpd_classic.commands.failures import Refused, guarded
from smtpd_classic.config import load
from smtpd_classic.log import printable
from smtpd_classic.log_source import JournalLog, LogSource, NoLog, log_source

__all__ = ["HELP", "add_arguments", "run"]

HELP = "show or follow the log"
_OURS = " smtpd-classic/"
_LONGEST_LINE = 8000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-n", dest="number", type=_number, default=20, metavar="LINES", help="how many lines (%(default)s)"
    )
    parser.add_argument("-f", "--follow", action="store_true", help="go on showing lines as they come")
    parser.add_argument("--id", metavar="QUEUEID", help="only the lines about this message, all of them")


def _number(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"“{text}” is not a number of lines.")
    return int(text)


def run(args: argparse.Namespace) -> int:
    return guarded(lambda: _show(args))


def _show(args: argparse.Namespace) -> int:
    try:
        return _show_from(log_source(load(args.config).server.log), args)
    except NoLog as problem:
        raise Refused(str(problem), os.EX_NOINPUT) from None


def _show_from(source: LogSource, args: argparse.Namespace) -> int:
    wanted = _wanted(args.id)
    following = source.follow() if args.follow else None  # first, so that no line is missed
    try:
        found = False
        for line in source.every(wanted) if args.id else source.last(args.number, wanted):
            _put(line)
            found = True
        if not found and following is None and isinstance(source, JournalLog) and not args.id:
            raise NoLog("the journal shows you no line of the server; try “sudo journalctl -u smtpd-classic”.")
        if following is None:
            return os.EX_OK if found or not args.id else os.EX_DATAERR
        while True:
            for line in following.wait():
                if wanted(line):
                    _put(line)
    finally:
        if following is not None:
            following.close()


def _wanted(queue_id: str | None) -> Callable[[str], bool]:
    if not queue_id:
        return lambda line: _OURS in line
    about = re.compile(rf"\b{re.escape(queue_id)}\b")
    return lambda line: _OURS in line and about.search(line) is not None


def _put(line: str) -> None:
    # A log may hold lines of other programs: escape characters that control the terminal.
    sys.stdout.write(printable(line, _LONGEST_LINE) + "\n")
    sys.stdout.flush()

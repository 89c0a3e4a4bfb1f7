"""`smtpd-classic doctor`: everything that keeps mail from landing, each with advice."""

import argparse
import json
import os
import sys
from collections.abc import Sequence

from smtpd_classic.commands.failures import guarded
from smtpd_classic.commands.signing import key_store
from smtpd_classic.config import Config, load
from smtpd_classic.doctor import CheckResult, CheckState, examine
from smtpd_classic.doctor.examination import BLOCK_LISTS, examination_of

__all__ = ["HELP", "add_arguments", "run"]

HELP = "examine this server, its DNS records and the way out"
_MARKS = {CheckState.GOOD: "[ok]", CheckState.WRONG: "[!!]", CheckState.UNKNOWN: "[??]"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--quiet", action="store_true", help="print only what changed since the last time (for cron)")
    parser.add_argument("--probe", action="append", default=[], metavar="HOST", help="a host to reach at port 25")
    parser.add_argument("--list", action="append", default=[], metavar="ZONE", help="a block list to ask")
    parser.add_argument("--no-lists", action="store_true", help="ask no block list")


def run(args: argparse.Namespace) -> int:
    return guarded(lambda: _examine(load(args.config), args))


def _examine(config: Config, args: argparse.Namespace) -> int:
    lists = () if args.no_lists else args.list or BLOCK_LISTS
    on_demand = not args.quiet or bool(args.probe or args.list)
    examination = examination_of(config, key_store(config), args.probe, lists, on_demand=on_demand)
    findings = examine(examination)
    shown = _changed(config, findings) if args.quiet else findings
    if args.json:
        print(json.dumps([each._asdict() for each in shown], indent=2, ensure_ascii=False))
    else:
        for each in shown:
            print(f"{_MARKS[each.state]} {each.subject}: {each.found}")
            if each.advice:
                print(f"     {each.advice}")
    return 1 if any(each.state is CheckState.WRONG for each in findings) else os.EX_OK


def _changed(config: Config, findings: Sequence[CheckResult]) -> list[CheckResult]:
    """Return the findings whose state is another than the last time, and remember this time's."""
    path = os.path.join(config.server.run_folder, "doctor.json")
    try:
        with open(path, encoding="utf-8") as file:
            before = dict(json.load(file))
    except (OSError, ValueError, TypeError):
        before = {}
    now = {each.subject: str(each.state) for each in findings}
    try:
        with open(path, "w", encoding="utf-8") as file:
            json.dump(now, file)
    except OSError as problem:
        print(f"{path}: {problem.strerror}", file=sys.stderr)
    return [each for each in findings if before.get(each.subject, str(CheckState.GOOD)) != str(each.state)]

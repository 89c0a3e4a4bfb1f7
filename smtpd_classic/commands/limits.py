"""`smtpd-classic limits`: the sending limits and their use."""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

from smtpd_classic.commands.failures import guarded, needs
from smtpd_classic.commands.suspension import counters_of
from smtpd_classic.config import Config, load
from smtpd_classic.counters import CounterStore
from smtpd_classic.counters.sender_limits import COUNTED, counters_folder, named_group, sending_use
from smtpd_classic.log import printable

__all__ = ["HELP", "add_arguments", "run"]

HELP = "how much of their sending limits accounts and hosts have used"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="the recipients that each account and host has written to")
    listing.add_argument("--json", action="store_true", help="print JSON")
    reset = actions.add_parser("reset", help="begin to count anew for an account or host; alarms too")
    reset.add_argument("sender", metavar="ADDRESS", help="an account, the IP address of a host, or “local programs”")


def run(args: argparse.Namespace) -> int:
    return guarded(lambda: _ACTIONS[args.action](load(args.config), args))


def _list(config: Config, args: argparse.Namespace) -> int:
    needs(counters_folder(config))
    rows = used(config, counters_of(config))
    if args.json:
        print(json.dumps(rows, indent=2))
        return os.EX_OK
    if not rows:
        print("No account or host has written to recipients elsewhere within a day.")
        return os.EX_OK
    print(f"{'Sender':40}{'Hour':>14}{'Day':>14}{'New':>14}")
    for row in rows:
        cells = (_cell(row[name], row["limits"][name]) for name in COUNTED)
        print(f"{printable(row['sender'], 40):40}{''.join(f'{cell:>14}' for cell in cells)}")
        if row["suspended"]:
            print(f"{'':4}suspended: {printable(row['suspended'], 300)}")
    return os.EX_OK


def used(config: Config, counters: CounterStore) -> list[dict[str, Any]]:
    """Return the senders with numbers, as they are printed in JSON."""
    return [
        {
            "sender": use.sender,
            **{name: use.numbers[name].value for name in COUNTED},
            "limits": {name: use.limits.most(name) for name in COUNTED},
            "until": {name: use.numbers[name].until for name in COUNTED},
            "suspended": use.suspended,
        }
        for use in sending_use(config, counters)
    ]


def _cell(number: int, most: int) -> str:
    return f"{number} of {most}" if most else str(number)


def _reset(config: Config, args: argparse.Namespace) -> int:
    counters, group = counters_of(config), named_group(config, args.sender)
    if group not in counters.groups():
        print(f"{printable(args.sender, 320)} has sent nothing that is counted.", file=sys.stderr)
        return os.EX_DATAERR
    counters.forget(group, [*COUNTED, "alarm near", "alarm full", "held notice"])
    print(f"Reset at {time.strftime('%H:%M:%S')}.", file=sys.stderr)
    return os.EX_OK


_ACTIONS: dict[str, Callable[[Config, argparse.Namespace], int]] = {"list": _list, "reset": _reset}

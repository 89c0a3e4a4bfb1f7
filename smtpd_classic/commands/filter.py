"""`smtpd-classic filter`: the filter rules that a message meets."""

import argparse
import json
import os

from smtpd_classic.commands.failures import guarded
from smtpd_classic.config import Config, load
from smtpd_classic.filters.rules import message_view, prepared_rules, rules_met
from smtpd_classic.log import printable

__all__ = ["HELP", "add_arguments", "run"]

HELP = "which filter rules a message meets"
_NONE = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    test = actions.add_parser("test", help="show the rules that a message meets, in order; nothing is sent")
    test.add_argument("file", metavar="FILE", help="the message")
    test.add_argument("--ip", default="", metavar="IP", help="the address of the client")
    test.add_argument("--from", dest="sender", metavar="SENDER", help="the envelope sender; else that in Return-Path")
    test.add_argument("--to", dest="recipients", default=[], action="append", metavar="RECIPIENT", help="a recipient")
    test.add_argument("--outgoing", action="store_true", help="as mail of a user, trusted host or local program")
    test.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    return guarded(lambda: _test(load(args.config), args))


def _test(config: Config, args: argparse.Namespace) -> int:
    with open(args.file, "rb") as file:
        message = message_view(file.read(), args.ip, "", [each.strip("<>") for each in args.recipients])
    sender = args.sender
    if sender is None and message.header is not None:
        sender = message.header.first(b"return-path").decode("utf-8", "replace")
    message = message._replace(sender=(sender or "").strip().removeprefix("<").removesuffix(">"))
    found = rules_met(prepared_rules(config.filter_rules), message, originates_here=args.outgoing)
    if args.json:
        print(json.dumps([{"name": each.name, "field": each.field, "action": str(each.action)} for each in found]))
    else:
        lines = [printable(f"{each.name}: {each.action} ({each.field})", 400) for each in found]
        print("\n".join(lines) or "The message meets no filter rule.")
    return os.EX_OK if found else _NONE

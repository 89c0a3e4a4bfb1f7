"""Where a command gets a new password from: the terminal without echo, standard input, or a good one made up."""

import argparse
import getpass
import os
import sys
from typing import NamedTuple

from smtpd_classic.accounts import generate_password, hash_password, scram_hash
from smtpd_classic.commands.failures import Refused

__all__ = ["NewPassword", "add_password_arguments", "new_password"]


def add_password_arguments(parser: argparse.ArgumentParser) -> None:
    ways = parser.add_mutually_exclusive_group()
    ways.add_argument("--password-stdin", action="store_true", help="read the password from the first line of stdin")
    ways.add_argument("--generate", action="store_true", help="make up a password and print it")
    ways.add_argument("--hash", metavar="HASH", help="store this {SCHEME}hash, as doveadm pw prints one")
    parser.add_argument(
        "--scram",
        action="store_true",
        help="store it for SCRAM-SHA-256, which is offered once all accounts are stored so",
    )


class NewPassword(NamedTuple):
    """`made_up` is the password itself when nobody else knows it: to be printed once it is in force."""

    stored: str
    made_up: str = ""


def new_password(args: argparse.Namespace) -> NewPassword:
    if args.hash is not None:
        return NewPassword(args.hash)
    password = generate_password() if args.generate else _given(from_stdin=args.password_stdin)
    try:
        stored = scram_hash(password) if args.scram else hash_password(password)
    except ValueError as problem:
        raise Refused(str(problem), os.EX_DATAERR) from None
    return NewPassword(stored, password if args.generate else "")


def _given(*, from_stdin: bool) -> str:
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    if not sys.stdin.isatty():
        raise Refused("there is no terminal to ask for a password: use --password-stdin or --generate.", os.EX_USAGE)
    password = getpass.getpass("New password: ")
    if getpass.getpass("Again: ") != password:
        raise Refused("these are two different passwords.", os.EX_DATAERR)
    return password

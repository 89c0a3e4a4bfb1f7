"""Gets a new password for a command: from the terminal without echo, from standard input, or a generated one."""

import argparse
import getpass
import os
import sys
from typing import NamedTuple

from smtpd_classic.accounts import generate_password, hash_password, scram_hash, weakness
from smtpd_classic.commands.failures import Refused

__all__ = ["NewPassword", "add_password_arguments", "confirm_weak", "new_password"]


def add_password_arguments(parser: argparse.ArgumentParser) -> None:
    ways = parser.add_mutually_exclusive_group()
    ways.add_argument("--password-stdin", action="store_true", help="read the password from the first line of stdin")
    ways.add_argument("--generate", action="store_true", help="generate a strong password and print it")
    ways.add_argument("--hash", metavar="HASH", help="store this {SCHEME}hash, as doveadm pw prints one")
    parser.add_argument(
        "--scram",
        action="store_true",
        help="store it for SCRAM-SHA-256, which is offered once all accounts are stored so",
    )
    parser.add_argument(
        "--force",
        dest="force_weak",
        action="store_true",
        help="set a weak password too",
    )


class NewPassword(NamedTuple):
    """`stored` goes into the users file; `generated` is printed once it is in force, and blank for a given password."""

    stored: str
    generated: str = ""


def new_password(args: argparse.Namespace, address: str) -> NewPassword:
    """Return the password for this account. Raises Refused, also for a weak one that is not confirmed."""
    if args.hash is not None:
        return NewPassword(args.hash)
    password = generate_password() if args.generate else _given(from_stdin=args.password_stdin)
    if password and not args.generate and not args.force_weak:
        confirm_weak(password, address, ask=not args.password_stdin)
    try:
        stored = scram_hash(password) if args.scram else hash_password(password)
    except ValueError as problem:
        raise Refused(str(problem), os.EX_DATAERR) from None
    return NewPassword(stored, password if args.generate else "")


def confirm_weak(password: str, address: str, *, ask: bool) -> None:
    """Raise Refused when the password is weak, unless the administrator says yes on the terminal."""
    problem = weakness(password, address)
    if problem is None:
        return
    if not ask:
        raise Refused(f"{problem[:-1]}; --force sets it all the same.", os.EX_DATAERR)
    print(problem[:1].upper() + problem[1:], file=sys.stderr)
    if input("Set it all the same (yes/no)? ").strip().lower() != "yes":
        raise Refused("nothing has been changed.", os.EX_DATAERR)


def _given(*, from_stdin: bool) -> str:
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    if not sys.stdin.isatty():
        raise Refused("there is no terminal to ask for a password: use --password-stdin or --generate.", os.EX_USAGE)
    password = getpass.getpass("New password: ")
    if getpass.getpass("Again: ") != password:
        raise Refused("these are two different passwords.", os.EX_DATAERR)
    return password

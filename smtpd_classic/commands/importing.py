"""`smtpd-classic import`: accounts from the table of another server, settings and aliases of a Postfix."""

import argparse
import csv
import os
import re
import sys
from collections.abc import Iterator, Sequence
from typing import IO, NamedTuple

from smtpd_classic.accounts import add_accounts, generate_password, hash_password, weakness
from smtpd_classic.accounts.passwords import scheme_problem
from smtpd_classic.accounts.users import UserLine
from smtpd_classic.commands.failures import Refused, guarded
from smtpd_classic.commands.import_postfix import import_postfix
from smtpd_classic.config import Config, load
from smtpd_classic.config.kinds import SIZE
from smtpd_classic.log import printable

__all__ = ["HELP", "add_arguments", "run"]

HELP = "take over accounts or settings from another server"
_COLUMNS = ("address", "name", "password", "quota")
_OTHER_NAMES = {
    "email": "address",
    "e-mail": "address",
    "mail": "address",
    "user": "address",
    "full name": "name",
    "hash": "password",
}
_MOST_ROWS = 200_000
_A_HASH = re.compile(r"\{[\w.-]+\}|\$(?:1|2[abxy]|5|6|y)\$")
_LIKE_A_HASH = re.compile(r"\{[\w.-]+\}|\$\w+\$|[0-9a-fA-F]{32,}$")


class _Row(NamedTuple):
    """One row of the table: the account, and the password that was generated for it."""

    line: int
    user: UserLine
    generated: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    accounts = actions.add_parser("accounts", help="from a CSV file: address, name, password or hash, quota")
    accounts.add_argument("file", metavar="FILE", help="the CSV file, in UTF-8; its first row may name the columns")
    accounts.add_argument("--force", action="store_true", help="take over weak passwords too")
    accounts.add_argument(
        "--passwords", metavar="FILE", help="the list of generated passwords, for which a file is made (FILE.passwords)"
    )

    postfix = actions.add_parser("postfix", help="domains, networks, relay, transports and aliases of a Postfix")
    postfix.add_argument("folder", nargs="?", default="/etc/postfix", metavar="DIR", help="the folder of its main.cf")


def run(args: argparse.Namespace) -> int:
    if args.action == "postfix":
        return guarded(lambda: import_postfix(args.config, args.folder))
    passwords = args.passwords or f"{args.file}.passwords"
    return guarded(lambda: _accounts(load(args.config), args.file, passwords, take_weak=args.force))


def _accounts(config: Config, path: str, passwords: str, *, take_weak: bool) -> int:
    refused: list[str] = []
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            rows = list(_rows(csv.reader(file), path, refused, take_weak=take_weak))
    except (UnicodeDecodeError, csv.Error) as problem:
        raise Refused(f"{path} cannot be read as a CSV file in UTF-8: {problem}.", os.EX_DATAERR) from None
    listing = _new_list(passwords) if any(row.generated for row in rows) else None
    try:
        found = add_accounts(config, [row.user for row in rows])
    except BaseException:
        if listing is not None:
            listing.close()
            os.unlink(passwords)
        raise
    added = [(row, name) for row, (name, problem) in zip(rows, found, strict=True) if not problem]
    refused += [
        f"{path}:{row.line}: {printable(name, 256)}: {problem}"
        for row, (name, problem) in zip(rows, found, strict=True)
        if problem
    ]
    generated = [(name, row.generated) for row, name in added if row.generated]
    if listing is not None:
        with listing:
            csv.writer(listing).writerows([("address", "password"), *generated])
        if not generated:
            os.unlink(passwords)
    for sentence in refused:
        print(sentence, file=sys.stderr)
    print(f"Added: {len(added)} accounts. Not added: {len(refused)}.", file=sys.stderr)
    if generated:
        print(f"{len(generated)} passwords were generated; they are in {passwords}.", file=sys.stderr)
    return os.EX_DATAERR if refused else os.EX_OK


def _rows(table: Iterator[list[str]], path: str, refused: list[str], *, take_weak: bool) -> Iterator[_Row]:
    """Yield the rows that can be read; a sentence about each other one goes into `refused`."""
    columns: Sequence[str] = _COLUMNS
    for line, cells in enumerate(table, 1):
        words = [cell.strip() for cell in cells]
        if line == 1 and (named := _named_columns(words)):
            columns = named
            continue
        if not any(words):
            continue
        if line > _MOST_ROWS:
            raise Refused(f"{path} has more than {_MOST_ROWS} rows.", os.EX_DATAERR)
        try:
            yield _row(line, dict(zip(columns, words, strict=False)), take_weak=take_weak)
        except ValueError as problem:
            refused.append(f"{path}:{line}: {problem}")


def _named_columns(words: list[str]) -> list[str]:
    """Return the columns that the first row names; nothing if it is a row of data."""
    names = [_OTHER_NAMES.get(word.lower(), word.lower()) for word in words]
    return names if "address" in names else []


def _row(line: int, fields: dict[str, str], *, take_weak: bool) -> _Row:
    """Return the account of a row. Raises ValueError with a sentence, also for a weak password unless `take_weak`."""
    address = fields.get("address", "").lower()
    if not address:
        raise ValueError("there is no address.")
    quota = SIZE.parse(fields["quota"]) if fields.get("quota") else 0
    password, generated = fields.get("password", ""), ""
    if _A_HASH.match(password) and scheme_problem(password) is None:
        stored = password
    elif password and not _LIKE_A_HASH.match(password):
        if not take_weak and (problem := weakness(password, address)) is not None:
            raise ValueError(f"{problem[:-1]}; --force takes it over all the same.")
        stored = hash_password(password)
    else:  # none, or a hash that no program here can verify
        generated = generate_password()
        stored = hash_password(generated)
    return _Row(line, UserLine(address, stored, fields.get("name", ""), quota=quota), generated)


def _new_list(path: str) -> IO[str]:
    """Make the file for the list of passwords, which only its owner can read. It is made before the accounts: their
    passwords stand nowhere else. Raises Refused and OSError."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        said = f"{path} exists; move it away, or name another file with --passwords. No account was added."
        raise Refused(said, os.EX_CANTCREAT) from None
    return open(descriptor, "w", encoding="utf-8", newline="")

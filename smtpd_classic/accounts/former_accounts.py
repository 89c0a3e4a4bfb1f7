"""Mailboxes that were of an account before reports came into them: their mail is never removed.

Three things show it: our mark in the Maildir, a kept version of the users file, and the files of a program that users
read their mail with.
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from typing import Protocol

from smtpd_classic.accounts.account import Account, AccountsUnreadable, ResolvedAddress
from smtpd_classic.accounts.address import domain_table
from smtpd_classic.accounts.file_versions import file_versions
from smtpd_classic.accounts.reading import NotText, read_text, read_users
from smtpd_classic.accounts.report_boxes import report_boxes
from smtpd_classic.config import Problem
from smtpd_classic.config.schema import Config

__all__ = ["mark_account", "report_box_problems", "was_account"]

_MARK = "smtpd-classic-account"
_FILES_OF_READERS = ("dovecot", "subscriptions", "courier")


class AddressFinder(Protocol):
    """The part of the accounts that resolves an address. Raises AccountsUnreadable."""

    def find(self, address: str, /) -> ResolvedAddress | None: ...


def report_box_problems(config: Config, accounts: AddressFinder) -> Iterator[Problem]:
    """Yield a warning for each mailbox of reports that was an account's: it is not emptied."""
    for box in report_boxes(config).values():
        try:
            found = accounts.find(box.address)
            if found is None or found.how != "reports" or not was_account(config, box):
                continue
        except (AccountsUnreadable, OSError):
            continue  # the check of the files names it, or the user has no right to look
        option = "dmarc_reports_to" if config.signing.dmarc_reports_to == box.address else "tls_reports_to"
        line = config.line("signing", option) or config.line("server", "primary_domain")
        said = (
            f"reports come to {box.address}, which was an account: nothing in {box.folder} is removed after 30 days. "
            "Move that folder away, make the account again, or name another address."
        )
        yield Problem(config.path, line, said, "warning")


def mark_account(box: Account) -> None:
    """Mark the Maildir of an account, if there is one, so that it is never taken for one of reports. Raises OSError."""
    with suppress(FileNotFoundError, NotADirectoryError):
        os.close(os.open(f"{box.folder}/{_MARK}", os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))


def was_account(config: Config, box: Account) -> bool:
    """Return True if the Maildir of a mailbox of reports was an account's. Raises OSError."""
    try:
        names = os.listdir(box.folder)
    except FileNotFoundError:
        return False
    own = {os.path.basename(box.junk_maildir), os.path.basename(box.folder)}
    if any(
        name == _MARK or name.startswith(_FILES_OF_READERS) or (name.startswith(".") and name not in own)
        for name in names
    ):
        return True
    return _is_in_a_version(config, box.address)


def _is_in_a_version(config: Config, address: str) -> bool:
    table = domain_table(config)
    for version in file_versions(config, "users"):
        with suppress(FileNotFoundError, NotText):  # removed meanwhile, or nothing that an account was read from
            if address in read_users(version.path, read_text(version.path), table, config.server).accounts:
                return True
    return False

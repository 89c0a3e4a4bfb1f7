"""The thread that removes old junk and old reports from the mailboxes of this server."""

from collections.abc import Iterator

from smtpd_classic.accounts import Account, AccountsUnreadable, EditRefused, list_accounts
from smtpd_classic.accounts.former_accounts import mark_account, was_account
from smtpd_classic.accounts.report_boxes import KEPT_S, report_boxes
from smtpd_classic.mailstore.expiry import ExpiringFolder, MailExpiry
from smtpd_classic.services import Services

__all__ = ["mail_expiry"]

_JUNK, _REPORTS = "junk folders", "mailboxes of reports"
_MOST_S, _LEAST_S = 3600.0, 1.0
_PARTS_OF_THE_TIME = 10


def mail_expiry(services: Services) -> MailExpiry:
    """Return the expiry of the junk folders of all accounts, and of the mailboxes of reports."""
    config, log = services.config, services.log
    junk_s = config.server.junk_time.total_seconds()

    def folders() -> Iterator[ExpiringFolder]:
        try:
            accounts = list_accounts(config)
        except (EditRefused, OSError) as problem:
            log.warning("local", f"old junk and reports are not removed now: {problem}")
            return
        for account in accounts:
            if junk_s > 0 and account.junk_maildir != account.folder:
                yield ExpiringFolder(account.junk_maildir, junk_s, _JUNK)
        for box in report_boxes(config).values():
            if _holds_reports_alone(services, box):
                for path in {box.folder, box.junk_maildir}:
                    yield ExpiringFolder(path, KEPT_S, _REPORTS)

    interval_s = min(max(junk_s / _PARTS_OF_THE_TIME, _LEAST_S), _MOST_S) if junk_s > 0 else _MOST_S
    return MailExpiry(folders, interval_s, services.clock, lambda words: log.write("local", words))


def _holds_reports_alone(services: Services, box: Account) -> bool:
    """Return True if the address leads to a mailbox of reports, and neither does nor did to an account.

    The users file that is in force decides: a file on the disk from which a line is missing must not cost an account
    its mail. An account is marked for the time after it is deleted.
    """
    try:
        found = services.accounts.find(box.address)
        if found is not None and found.how == "account":
            mark_account(box)
        return found is not None and found.how == "reports" and not was_account(services.config, box)
    except (AccountsUnreadable, OSError):
        return False

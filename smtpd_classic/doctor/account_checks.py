"""The checks of accounts that live in Dovecot. Nothing is asked if they are in the users file."""

from collections.abc import Iterator

from smtpd_classic.accounts.directory import IN_DOVECOT
from smtpd_classic.doctor.finding import CheckResult, Examination, good, wrong

__all__ = ["accounts_in_dovecot"]

_SUBJECT = "accounts in Dovecot"


def accounts_in_dovecot(examination: Examination) -> Iterator[CheckResult]:
    """Check that both sockets of Dovecot answer, and that a random name is no user."""
    if examination.config.server.accounts != IN_DOVECOT:
        return
    from smtpd_classic.accounts.dovecot_check import check_dovecot  # noqa: PLC0415 - not loaded without the option

    found = check_dovecot(examination.config)
    for each in found:
        yield wrong(_SUBJECT, each.text, each.advice)
    if not found:
        yield good(_SUBJECT, "logins and look-ups are answered, and a random name is no user")

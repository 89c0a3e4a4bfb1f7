"""The log lines and counters of an accepted message."""

from collections.abc import Sequence
from typing import NamedTuple

from smtpd_classic.log import delay_text, printable
from smtpd_classic.mailauth.words import ResultWord
from smtpd_classic.policy import Transaction
from smtpd_classic.reception.journal import ReceptionLog
from smtpd_classic.services import Services
from spool import Recipient

__all__ = ["Acceptance", "log_acceptance", "summaries"]


class Acceptance(NamedTuple):
    """An accepted message. `number` counts its recipients, `delivered` are those that have it in their Maildirs.

    `arrival` and `came` are the times of MAIL and of the end of the content; `hold` is blank if it is not on hold.
    `may_be_signed` is False for mail of this site that leaves unsigned.
    """

    number: int
    delivered: Sequence[Recipient]
    message_id: bytes
    arrival: float
    came: float
    hold: str
    is_junk: bool
    may_be_signed: bool


def log_acceptance(services: Services, journal: ReceptionLog, transaction: Transaction, found: Acceptance) -> None:
    """Write the lines of an accepted message, and count it."""
    queue_id, delivered = transaction.queue_id, found.delivered
    journal.count_several(_counts(transaction, found))
    lines = journal.message(queue_id, transaction.mail.reverse_path, transaction.octets, found.message_id, found.number)
    if transaction.content_checks:
        place = services.config.server.junk_folder.lstrip(".").lower() if found.is_junk else ""
        lines += summaries(transaction, "held" if found.hold else place or "inbox")
    if not found.may_be_signed and len(delivered) < found.number:
        said = f"left unsigned: {transaction.peer.client} passes it on (see sign_for_hosts)"
        lines.append(("smtpd", f"{queue_id}: {said}"))
    if found.hold:
        lines.append(("smtpd", f"{queue_id}: held: {printable(found.hold, 256)}"))
    if delivered:
        now = services.clock()
        journal.delivered_after(now - found.arrival, len(delivered))
        delays = f"{delay_text(found.came - found.arrival)}/0/0/{delay_text(now - found.came)}"
        took = f"delay={delay_text(now - found.arrival)}, delays={delays}"
        lines += journal.delivered(queue_id, delivered, took)
        if len(delivered) == found.number:
            lines.append(("qmgr", f"{queue_id}: removed"))
    journal.write(lines)


def _counts(transaction: Transaction, found: Acceptance) -> list[tuple[str, int]]:
    verdict = transaction.verdict
    counts = [("received", 1)]
    if transaction.peer.originates_here:
        counts.append(("submitted", 1))
    if found.is_junk:
        counts.append(("junk", 1))
    elif verdict is not None and verdict.results.dmarc.word is ResultWord.PASS:
        counts.append(("auth_passed", 1))
    if found.delivered:
        counts.append(("delivered", len(found.delivered)))
    return counts


def summaries(transaction: Transaction, place: str) -> list[tuple[str, str]]:
    """Return the lines with the results of the content checks."""
    found = [check.summary() for check in transaction.content_checks]
    return [("smtpd", f"{transaction.queue_id}: {printable(each, 900)} -> {place}") for each in found if each]

"""Approval on the side of the queue: the notices to managers, and the answer to the sender.

A notice is in the queue before the state that it reports is written, so that a crash repeats it rather than losing it.
"""

from dataclasses import dataclass

from smtpd_classic.approval import APPROVE, REFUSE, Decision, approval_named, deciding_address
from smtpd_classic.config.kinds import DURATION
from smtpd_classic.config.schema import Approval, Config
from smtpd_classic.message.encoded_words import decoded
from smtpd_classic.message.excerpt import excerpt
from smtpd_classic.message.headers import HeaderBlock
from smtpd_classic.postmaster import PostmasterMail
from smtpd_classic.retry.journal import DeliveryLog
from smtpd_classic.smtp.address import NULL_SENDER
from spool import Claim

__all__ = ["ApprovalNotices"]

_MOST_NAMED = 20
_MOST_READ = 64 * 1024
_WAITS = (
    "A message of {sender} waits for approval ({name}).\n\nRecipients: {recipients}\n\nSubject: {subject}\n\n"
    "Size: {size} octets\n\nApprove it: smtpd-classic queue approve {id}\n\nRefuse it: smtpd-classic queue refuse {id}"
    "{by_mail}\n\nWithout a decision it is returned to its sender after {wait}. The beginning of its text:"
)
_BY_MAIL = (
    "\n\nOr decide by mail: log in as you do for your own mail, and send a message to one of these addresses."
    "\n\nApprove: {approve}\n\nRefuse: {refuse}"
)
_APPROVED = "Your message to {recipients} was {decision} and is being sent.\n\nSubject: {subject}"


@dataclass(frozen=True, slots=True)
class ApprovalNotices:
    """The notices of approval of one process."""

    config: Config
    mail: PostmasterMail
    journal: DeliveryLog

    def ask_managers(self, claim: Claim) -> None:
        """Notify each manager of a message that waits. Raises OSError and the errors of the spool."""
        hold, queue_id = claim.state.hold, claim.entry.queue_id
        approval = approval_named(self.config, hold) if hold is not None else None
        if approval is None or claim.state.hold_notified:
            return
        content = _beginning(claim)
        words, subject = self._words(claim, approval, content), f"Approval of a message of {_sender(claim)}"
        problems = []
        for manager in approval.managers:
            problem = self.mail.send_to(manager, subject, words, quoted=excerpt(content), answers=False)
            if problem:
                problems.append(f"{manager} could not be told of a message that waits: {problem}")
        for problem in problems:
            self.journal.warning(queue_id, problem)
        if len(problems) < len(approval.managers):
            claim.record(claim.state._replace(hold_notified=True))

    def _words(self, claim: Claim, approval: Approval, content: bytes) -> str:
        queue_id = claim.entry.queue_id
        by_mail = ""
        if approval.by_mail:
            approve, refuse = (
                deciding_address(self.config, Decision(action, queue_id)) for action in (APPROVE, REFUSE)
            )
            by_mail = _BY_MAIL.format(approve=approve, refuse=refuse)
        return _WAITS.format(
            sender=_sender(claim),
            name=approval.name,
            recipients=_recipients(claim),
            subject=_subject(content),
            size=claim.entry.size,
            id=queue_id,
            by_mail=by_mail,
            wait=DURATION.format(approval.wait),
        )

    def tell_approved(self, claim: Claim) -> None:
        """Notify the sender that its message was approved. Raises SpoolFull and SpoolBroken."""
        sender, decision = claim.entry.envelope.origin, claim.state.decision
        words = _APPROVED.format(recipients=_recipients(claim), decision=decision, subject=_subject(_beginning(claim)))
        if sender != NULL_SENDER and (problem := self.mail.send_to(sender, "Your message was approved", words)):
            self.journal.warning(claim.entry.queue_id, f"the sender could not be told of the approval: {problem}")
        self.journal.note(claim.entry.queue_id, decision)
        claim.record(claim.state._replace(decision=""))


def _beginning(claim: Claim) -> bytes:
    with claim.open_content() as source:
        return source.read(_MOST_READ)


def _subject(content: bytes) -> str:
    """Return the subject in one line: it must not look like a paragraph of the notice."""
    shown = decoded(HeaderBlock(content).first(b"subject").decode("utf-8", "replace"))
    return " ".join(shown.split())[:200] or "(none)"


def _sender(claim: Claim) -> str:
    envelope = claim.entry.envelope
    return envelope.login or envelope.origin or envelope.client


def _recipients(claim: Claim) -> str:
    names = list(dict.fromkeys(each.original or each.address for each in claim.entry.envelope.recipients))
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(names[:_MOST_NAMED]) + more

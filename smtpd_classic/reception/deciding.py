"""Decisions about mail that waits for approval, brought by a message to approve+TOKEN@ or refuse+TOKEN@."""

import contextlib

from smtpd_classic.approval import APPROVE, Decision, approval_named
from smtpd_classic.policy import Transaction
from smtpd_classic.policy.approvals import decider, decisions
from smtpd_classic.reception.journal import ReceptionLog
from smtpd_classic.services import Services
from spool import NoSuchEntry, NotWaiting
from spool.entry import APPROVAL

__all__ = ["decide"]


def decide(services: Services, journal: ReceptionLog, transaction: Transaction) -> None:
    """Carry out the decisions of a message, and log each. Raises NotClaimed, SpoolFull and SpoolBroken."""
    for decision in decisions(transaction):
        done = _decide(services, transaction, decision)
        said = f"{transaction.queue_id}: decision by mail about {decision.queue_id}: {done}"
        journal.write([("smtpd", said)])


def _decide(services: Services, transaction: Transaction, decision: Decision) -> str:
    with contextlib.suppress(NoSuchEntry, NotWaiting):
        hold = services.spool.read(decision.queue_id)[1].hold
        approval = approval_named(services.config, hold) if hold is not None and hold.reason == APPROVAL else None
        now = services.clock()
        if hold is None or approval is None or hold.since + approval.wait.total_seconds() <= now:
            return "it does not wait any more"
        manager = decider(transaction, approval)
        if not manager:
            return "nothing is done: the author is not a manager, or the message is automatic"
        approved = decision.action == APPROVE
        services.spool.decide(decision.queue_id, manager, approved=approved, now=now)
        services.runtime.wake(decision.queue_id)
        return f"{'approved' if approved else 'refused'} by {manager}"
    return "it does not wait any more"

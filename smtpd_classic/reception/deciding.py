"""Decisions about mail that waits for approval, brought by a message to approve+TOKEN@ or refuse+TOKEN@."""

from smtpd_classic.approval import APPROVE, Decision, approval_of
from smtpd_classic.policy import Transaction
from smtpd_classic.policy.approvals import decider, decisions
from smtpd_classic.reception.journal import ReceptionLog
from smtpd_classic.services import Services
from smtpd_classic.shared_state import SharedState
from smtpd_classic.shared_state.decisions import HandedDecision, hand_in, lifetime_s
from spool import NoSuchEntry, NotWaiting

__all__ = ["decide"]

_GONE = "it does not wait any more"
_NO_MANAGER = "nothing is done: the author is not a manager, or the message is automatic"


def decide(services: Services, journal: ReceptionLog, transaction: Transaction) -> None:
    """Carry out the decisions of a message, and log each. Raises NotClaimed, SpoolFull, SpoolBroken and
    SharedStateDown.
    """
    for decision in decisions(transaction):
        done = _decide(services, transaction, decision)
        said = f"{transaction.queue_id}: decision by mail about {decision.queue_id}: {done}"
        journal.write([("smtpd", said)])


def _decide(services: Services, transaction: Transaction, decision: Decision) -> str:
    now = services.clock()
    try:
        approval = approval_of(services.config, services.spool, decision.queue_id, now)
        if approval is None:
            return _GONE
        manager = decider(transaction, approval)
        if not manager:
            return _NO_MANAGER
        services.spool.decide(decision.queue_id, manager, approved=decision.action == APPROVE, now=now)
    except NotWaiting:
        return _GONE
    except NoSuchEntry:
        return _GONE if services.shared is None else _hand_in(services.shared, transaction, decision)
    services.runtime.wake(decision.queue_id)
    return f"{_past(decision)} by {manager}"


def _hand_in(shared: SharedState, transaction: Transaction, decision: Decision) -> str:
    """Hand the decision to the other servers: one of them may have the message in its queue."""
    config = transaction.rules.config
    managers = {each.name: decider(transaction, each) for each in config.approvals}
    names = tuple(name for name, manager in managers.items() if manager)
    if not names:
        return _NO_MANAGER
    manager = managers[names[0]]
    handed = HandedDecision(decision.queue_id, decision.action, manager, names)
    if not hand_in(shared, handed, lifetime_s(config)):
        return "the other servers have a decision already"
    return f"{_past(decision)} by {manager}, handed to the other servers"


def _past(decision: Decision) -> str:
    return "approved" if decision.action == APPROVE else "refused"

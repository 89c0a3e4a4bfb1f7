"""One recipient's row in the state of a message: how an outcome changes it, and how it reads in a notification."""

from collections import Counter
from dataclasses import replace

from smtpd_classic.delivery.transport import Action, Outcome
from smtpd_classic.delivery.transport import Recipient as AnyRecipient
from smtpd_classic.dsn import Fate
from smtpd_classic.retry.journal import code_of, said
from spool import DELIVERED, WAITING, Recipient, RecipientState

__all__ = ["delivered_now", "effective", "fate_of", "known", "lists_in", "tried_now"]


def fate_of(recipient: AnyRecipient, outcome: Outcome, action: str, now: float) -> Fate:
    """For a notification: who said what, where a host did, or our own words."""
    peer = outcome.peer if outcome.command else None
    return Fate(
        recipient.address,
        action,
        code_of(outcome),
        said(outcome),
        peer.name if peer else "",
        peer.ip if peer else "",
        outcome.command,
        recipient.original,
        recipient.orcpt,
        now,
    )


def known(row: RecipientState, delivered: set[str]) -> RecipientState:
    return replace(row, state=DELIVERED) if row.address in delivered else row


def delivered_now(row: RecipientState, outcomes: dict[str, Outcome], now: float) -> RecipientState:
    outcome = outcomes.get(row.address)
    if row.state != WAITING or outcome is None or outcome.action is not Action.DELIVERED:
        return row
    return replace(tried_now(row, outcome, now), state=DELIVERED)


def tried_now(row: RecipientState, outcome: Outcome, now: float) -> RecipientState:
    return replace(
        row,
        attempts=row.attempts + 1,
        relay_attempts=row.relay_attempts + outcome.through_relay,
        last_reply=said(outcome),
        enhanced=code_of(outcome),
        host=str(outcome.peer) if outcome.peer else "",
        at=now,
    )


def lists_in(recipients: tuple[Recipient, ...]) -> set[str]:
    """The addresses that stand for several recipients and of which the sender wants to know the success."""
    counted = Counter(each.original for each in recipients if each.original)
    return {each.original for each in recipients if counted[each.original] > 1 and "SUCCESS" in each.notify}


def effective(recipients: tuple[Recipient, ...]) -> tuple[Recipient, ...]:
    """Members of such a list are not to notify of success on their own (RFC 3461 5.2.7.3)."""
    lists = lists_in(recipients)
    return tuple(
        replace(each, notify=(each.notify - {"SUCCESS"}) or frozenset({"NEVER"})) if each.original in lists else each
        for each in recipients
    )

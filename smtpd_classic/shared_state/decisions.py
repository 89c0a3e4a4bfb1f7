"""Decisions by mail about messages in the queues of other servers, in one hash of the shared state.

A manager may write to any server, and only one of them has the message in its queue. The others hand the decision in,
and each server asks for all of them. The first decision about a message counts.
"""

import json
from contextlib import suppress
from typing import NamedTuple

from smtpd_classic.shared_state import scripts
from smtpd_classic.shared_state.client import PREFIX, SharedState

__all__ = ["HandedDecision", "hand_in", "handed_in"]

_KEY = f"{PREFIX}:decisions"
_LIFETIME_MS = 30 * 86_400_000


class HandedDecision(NamedTuple):
    """A decision by mail: its action, its author, and the sections of approval that this author manages."""

    queue_id: str
    action: str
    manager: str
    approvals: tuple[str, ...]


def hand_in(shared: SharedState, decision: HandedDecision) -> bool:
    """Hand a decision to the other servers. Return False if there is one already. Raises SharedStateDown."""
    text = json.dumps([decision.action, decision.manager, decision.approvals])
    return bool(shared.run(scripts.HAND_IN, [_KEY], [decision.queue_id, text, _LIFETIME_MS]))


def handed_in(shared: SharedState, done: list[str]) -> list[HandedDecision]:
    """Remove the decisions that are `done`, and return all others. Raises SharedStateDown."""
    found = shared.run(scripts.HANDED_IN, [_KEY], done)
    decisions = []
    for queue_id, text in zip(found[::2], found[1::2], strict=True):
        with suppress(ValueError, TypeError):  # of another version of this server
            action, manager, approvals = json.loads(str(text).partition(" ")[2])
            decisions.append(HandedDecision(str(queue_id), str(action), str(manager), tuple(approvals)))
    return decisions

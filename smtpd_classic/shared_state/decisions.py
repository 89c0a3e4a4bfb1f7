"""Decisions by mail about messages in the queues of other servers, in one hash of the shared state.

A manager may write to any server, and only one of them has the message in its queue. The others hand the decision in,
and each server asks for all of them. The first decision about a message counts. It is removed as soon as it is carried
out, and otherwise when it is older than the lifetime: then no server has the message.
"""

import json
from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

from smtpd_classic.config.schema import Config
from smtpd_classic.shared_state import scripts
from smtpd_classic.shared_state.client import PREFIX, SharedState

__all__ = ["HandedDecision", "HandedDecisions", "hand_in", "lifetime_s"]

_KEYS = (f"{PREFIX}:decisions", f"{PREFIX}:last:decisions")
_RETRIES = 4  # of the longest retry interval: a server that is away for longer delays its mail anyway


class HandedDecision(NamedTuple):
    """A decision by mail: its action, its author, and the sections of approval that this author manages."""

    queue_id: str
    action: str
    manager: str
    approvals: tuple[str, ...]


def lifetime_s(config: Config) -> float:
    return _RETRIES * config.basic.max_retry_interval.total_seconds()


def hand_in(shared: SharedState, decision: HandedDecision, kept_s: float) -> bool:
    """Hand a decision to the other servers. Return False if there is one already. Raises SharedStateDown."""
    text = json.dumps([decision.action, decision.manager, decision.approvals])
    return bool(shared.run(scripts.HAND_IN, _KEYS, [decision.queue_id, text, _ms(kept_s)]))


class HandedDecisions:
    """The decisions that are handed in, as one server reads them: each once, without a look at the older ones."""

    def __init__(self, shared: SharedState, kept_s: float) -> None:
        self._shared = shared
        self._kept_s = kept_s
        self._since = "0"

    def new(self, done: list[str]) -> list[HandedDecision]:
        """Remove the decisions that are `done`, and return those since the last call. Raises SharedStateDown."""
        self._since, *found = self._shared.run(scripts.HANDED_IN, _KEYS, [self._since, _ms(self._kept_s), *done])
        return list(_decisions(found))

    def again(self) -> None:
        """Let the next call return all decisions."""
        self._since = "0"


def _decisions(found: list[str]) -> Iterator[HandedDecision]:
    for queue_id, text in zip(found[::2], found[1::2], strict=True):
        with suppress(ValueError, TypeError):  # of another version of this server
            action, manager, approvals = json.loads(str(text).partition(" ")[2])
            yield HandedDecision(str(queue_id), str(action), str(manager), tuple(approvals))


def _ms(seconds: float) -> int:
    return max(int(seconds * 1000), 1)

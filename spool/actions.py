"""The actions of an administrator on messages of the queue, for the command and for the screens."""

from collections.abc import Callable

from spool.entry import ADMINISTRATOR, Hold
from spool.spool import Spool

__all__ = ["ACTIONS", "WAKING", "Action"]

# Its arguments are the spool, the queue id and the time now. It returns the hold that keeps the message from its
# delivery in spite of the action, or None.
Action = Callable[[Spool, str, float], Hold | None]
ACTIONS: dict[str, Action] = {
    "retry": lambda spool, queue_id, _now: spool.retry_now(queue_id),
    "hold": lambda spool, queue_id, now: spool.hold(queue_id, Hold(since=now)),
    "release": lambda spool, queue_id, now: spool.release(queue_id, now=now),
    "approve": lambda spool, queue_id, now: spool.decide(queue_id, ADMINISTRATOR, approved=True, now=now),
    "refuse": lambda spool, queue_id, now: spool.decide(queue_id, ADMINISTRATOR, approved=False, now=now),
    "delete": lambda spool, queue_id, _now: spool.delete(queue_id),
}
WAKING = frozenset({"retry", "release", "approve", "refuse"})  # then the server has work

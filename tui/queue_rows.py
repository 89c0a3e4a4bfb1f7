"""The queue as the screen holds it: what is listed, in which order, what is tagged, what a search has left."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from spool import WAITING, Entry, Listed, NoSuchEntry, Spool, SpoolBroken, State
from tui.text import clean, first_line

__all__ = ["SORTS", "Details", "QueueRows", "read_details", "state_word"]

_MOST_DETAILS = 2000


class Details(NamedTuple):
    """What is known only by opening the files of an entry. Texts are cleaned."""

    sender: str
    recipients: str
    attempts: int
    last_attempt: float
    reply: str


SORTS: tuple[tuple[str, Callable[[Listed], object]], ...] = (
    ("created", lambda row: row.queue_id),
    ("next try", lambda row: (row.held, row.next_attempt, row.queue_id)),
    ("size", lambda row: (row.size, row.queue_id)),
    ("state", lambda row: (row.held, row.attempted, row.queue_id)),
)


def state_word(row: Listed, now: float) -> str:
    """`held`, `new` before the first attempt, `due` when it is tried now or soon, `waits` for its next attempt."""
    if row.held:
        return "held"
    if not row.attempted:
        return "new"
    return "due" if row.next_attempt <= now else "waits"


class QueueRows:
    def __init__(self) -> None:
        self.listed: dict[str, Listed] = {}
        self.details: dict[str, Details] = {}
        self.tagged: set[str] = set()
        self.sort = 0
        self.reverse = False
        self.found: set[str] | None = None  # what the search has left; None: everything
        self.keys: list[str] = []
        self.places: dict[str, int] = {}

    def take(self, rows: Iterable[Listed]) -> list[str]:
        """Take over a new listing; the answer is whose row has changed. Tags of what is gone are gone."""
        now = {row.queue_id: row for row in rows}
        changed = [key for key, row in now.items() if self.listed.get(key) != row]
        for key in changed:
            self.details.pop(key, None)
        self.listed = now
        self.tagged &= now.keys()
        self.arrange()
        return changed

    def arrange(self) -> None:
        """Put the rows into the chosen order."""
        chosen = (
            self.listed.values()
            if self.found is None
            else [row for key, row in self.listed.items() if key in self.found]
        )
        rows = sorted(chosen, key=SORTS[self.sort][1], reverse=self.reverse)  # type: ignore[arg-type]
        self.keys = [row.queue_id for row in rows]
        self.places = {key: place for place, key in enumerate(self.keys)}

    def remember(self, found: dict[str, Details]) -> None:
        if len(self.details) > _MOST_DETAILS:
            self.details.clear()
        self.details.update(found)

    def count(self, now: float) -> dict[str, int]:
        """How many there are in each state."""
        counts = {"new": 0, "due": 0, "waits": 0, "held": 0}
        for row in self.listed.values():
            counts[state_word(row, now)] += 1
        return counts


def read_details(spool: Spool, queue_id: str) -> Details:
    """What the files of an entry say; when they are gone meanwhile, that."""
    try:
        entry, state = spool.read(queue_id)
    except NoSuchEntry:
        return Details("", "", 0, 0.0, "gone")
    except SpoolBroken as problem:
        return Details("", "", 0, 0.0, clean(str(problem), 300))
    return details_of(entry, state)


def details_of(entry: Entry, state: State) -> Details:
    waiting = [each for each in state.recipients if each.state == WAITING] or list(state.recipients)
    more = f" (+{len(waiting) - 1})" if len(waiting) > 1 else ""
    first = clean(waiting[0].address, 320) if waiting else ""
    reply = next((each.last_reply for each in waiting if each.last_reply), "")
    sender = clean(entry.envelope.sender, 320) or "<>"
    return Details(sender, first + more, state.attempts, state.last_attempt, first_line(reply, 500))

"""The queue as the screen holds it: the listing, its order, the tags and the result of a search."""

from collections import Counter
from collections.abc import Callable, Iterable
from operator import attrgetter
from typing import Any, NamedTuple

from spool import Hold, Listed, Spool
from spool.rows import HELD, NEW, WAITING_FOR_RETRY, QueueRow, rows
from tui.widgets.text import clean, first_line

__all__ = ["SORTS", "Details", "QueueRows", "listed_state", "read_details", "states_of"]

_MOST_DETAILS = 2000


class Details(NamedTuple):
    """The facts that stand only in the files of an entry. Texts are cleaned."""

    state: str
    sender: str
    recipients: str
    attempts: int
    last_attempt: float
    reply: str
    hold_reason: str = ""


SORTS: tuple[tuple[str, Callable[[Listed], Any]], ...] = (
    ("created", attrgetter("queue_id")),
    ("next try", attrgetter("held", "next_attempt", "queue_id")),
    ("size", attrgetter("size", "queue_id")),
    ("state", attrgetter("held", "attempted", "queue_id")),
)


def listed_state(row: Listed) -> str:
    """As far as the listing tells: whether it is being delivered is known only by a look at its file."""
    return state_word(held=row.held, attempted=row.attempted)


def state_word(*, held: bool, attempted: bool) -> str:
    if held:
        return HELD
    return WAITING_FOR_RETRY if attempted else NEW


class QueueRows:
    def __init__(self) -> None:
        self.listed: dict[str, Listed] = {}
        self.is_whole = False  # whether `listed` is the whole queue
        self.details: dict[str, Details] = {}
        self.tagged: set[str] = set()
        self.sort = 0
        self.reverse = False
        self.found: set[str] | None = None  # the result of the search; None: everything
        self.keys: list[str] = []
        self.places: dict[str, int] = {}
        self._counts: dict[str, int] = {}

    def take(self, listed: Iterable[Listed]) -> list[str]:
        """Take over a new listing; return the ids of the rows that have changed. Drop tags of messages that left."""
        now = {row.queue_id: row for row in listed}
        before = self.listed.get
        changed = [key for key, row in now.items() if before(key) != row]
        for key in self.details.keys() & changed:
            del self.details[key]
        self.listed = now
        self._counts = states_of(now.values())
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
        ordered = sorted(chosen, key=SORTS[self.sort][1], reverse=self.reverse)
        self.keys = [row.queue_id for row in ordered]
        self.places = dict(zip(self.keys, range(len(self.keys)), strict=True))

    def remember(self, found: dict[str, Details]) -> None:
        if len(self.details) > _MOST_DETAILS:
            self.details.clear()
        self.details.update(found)

    def count(self) -> dict[str, int]:
        """Return the number of messages in each state that the listing shows."""
        return self._counts


def states_of(listed: Iterable[Listed]) -> dict[str, int]:
    """Return the number of entries in each state that a listing shows."""
    counts = {NEW: 0, WAITING_FOR_RETRY: 0, HELD: 0}
    for (held, attempted), number in Counter(map(attrgetter("held", "attempted"), listed)).items():
        counts[state_word(held=held, attempted=attempted)] += number
    return counts


def read_details(spool: Spool, listed: Iterable[Listed]) -> dict[str, Details]:
    """Return the details from the files of these entries; an entry that is gone says so."""
    wanted = list(listed)
    found = {row.queue_id: Details("gone", "", "", 0, 0.0, "gone") for row in wanted}
    return found | {row.queue_id: details_of(row) for row in rows(spool, wanted)}


def details_of(row: QueueRow) -> Details:
    first = clean(row.recipients[0], 320) if row.recipients else ""
    more = f" (+{len(row.recipients) - 1})" if len(row.recipients) > 1 else ""
    sender = clean(row.sender, 320) or "<>"
    reply = first_line(row.last_reply, 500)
    if row.hold_reason:
        reply = f"held, {first_line(str(Hold(row.hold_reason, row.hold_text)), 200)}{'; ' if reply else ''}{reply}"
    return Details(row.state, sender, first + more, row.attempts, row.last_attempt, reply, row.hold_reason)

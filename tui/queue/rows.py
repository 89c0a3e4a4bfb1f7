"""The queue as the screen holds it: the listing, its order, the tags and the result of a search."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

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


SORTS: tuple[tuple[str, Callable[[Listed], object]], ...] = (
    ("created", lambda row: row.queue_id),
    ("next try", lambda row: (row.held, row.next_attempt, row.queue_id)),
    ("size", lambda row: (row.size, row.queue_id)),
    ("state", lambda row: (row.held, row.attempted, row.queue_id)),
)


def listed_state(row: Listed) -> str:
    """As far as the listing tells: whether it is being delivered is known only by a look at its file."""
    if row.held:
        return HELD
    return WAITING_FOR_RETRY if row.attempted else NEW


class QueueRows:
    def __init__(self) -> None:
        self.listed: dict[str, Listed] = {}
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
        changed = [key for key, row in now.items() if self.listed.get(key) != row]
        for key in changed:
            self.details.pop(key, None)
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
        ordered = sorted(chosen, key=SORTS[self.sort][1], reverse=self.reverse)  # type: ignore[arg-type]
        self.keys = [row.queue_id for row in ordered]
        self.places = {key: place for place, key in enumerate(self.keys)}

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
    for row in listed:
        counts[listed_state(row)] += 1
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

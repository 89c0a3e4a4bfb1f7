"""Messages to put into a spool, and what must be true of a spool whatever has happened."""

import os
from collections.abc import Callable

from spool import Envelope, Hold, Listed, NoSuchEntry, Recipient, Spool, new_queue_id

__all__ = ["LARGE", "NOW", "ONE", "SMALL", "TWO", "Said", "check_order", "commit", "found", "made"]

NOW = 1_800_000_000.25
SMALL = b"Subject: small\n\nbody\n"
LARGE = b"Subject: large\n\n" + b"0123456789abcdef" * 12_500
ONE = Envelope("a@example.org", (Recipient("b@example.net"),), client="mx[192.0.2.1]")
TWO = Envelope("a@example.org", (Recipient("b@example.net"), Recipient("c@example.com", notify=frozenset({"FAILURE"}))))


class Said(list[str]):
    """What a spool complained of."""


def made(path: object, complain: Callable[[str], None] | None = None) -> Spool:
    spool = Spool(str(path), complain) if complain else Spool(str(path))
    spool.make()
    return spool


def commit(
    spool: Spool, content: bytes = SMALL, envelope: Envelope = ONE, *, now: float = NOW, hold: bool = False
) -> str:
    with spool.draft(new_queue_id(now)) as draft:
        for start in range(0, len(content), 50_000):
            draft.write(content[start : start + 50_000])
        return draft.commit(envelope, now, Hold() if hold else None)


def found(spool: Spool, queue_id: str) -> tuple[bytes, Envelope] | None:
    """Content and envelope of an entry as a reader gets them; None when there is none."""
    try:
        entry, _ = spool.read(queue_id)
        with spool.open_content(queue_id) as content:
            return content.read(), entry.envelope
    except NoSuchEntry:
        return None


def check_order(spool: Spool) -> dict[str, Listed]:
    """After a sweep: no drafts, no temporary files, no orphans, nothing set aside, every entry whole. What is
    listed."""
    spool.sweep(NOW)
    listed = {item.queue_id: item for item in spool.list()}
    assert sorted(os.listdir(spool.folders.new) + os.listdir(spool.folders.cur)) == sorted(listed)
    assert os.listdir(spool.folders.tmp) == []
    assert set(os.listdir(spool.folders.state)) <= set(listed)
    assert os.listdir(spool.folders.quarantine) == []
    for queue_id in listed:
        with spool.claim(queue_id) as claim:  # type: ignore[union-attr]
            assert claim.entry.queue_id == queue_id
    return listed

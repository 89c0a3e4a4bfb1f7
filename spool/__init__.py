"""The spool: messages that wait on disk and survive every crash. See `spool.spool`."""

from spool.claim import Claim, EntryContent
from spool.disk import NoSuchEntry, NotClaimed, NotWaiting, SpoolBroken, SpoolFull
from spool.draft import Draft
from spool.entry import DELIVERED, FAILED, WAITING, Entry, Envelope, Hold, Listed, Recipient, RecipientState, State
from spool.queue_id import new_queue_id
from spool.spool import Spool

__all__ = [
    "DELIVERED",
    "FAILED",
    "WAITING",
    "Claim",
    "Draft",
    "Entry",
    "EntryContent",
    "Envelope",
    "Hold",
    "Listed",
    "NoSuchEntry",
    "NotClaimed",
    "NotWaiting",
    "Recipient",
    "RecipientState",
    "Spool",
    "SpoolBroken",
    "SpoolFull",
    "State",
    "new_queue_id",
]

"""The folders of the spool, and the errors that its functions raise."""

import os
from typing import NamedTuple

from smtpd_classic.durable import Broken, Full, advice, is_full

__all__ = ["Folders", "NoSuchEntry", "NotClaimed", "NotWaiting", "SpoolBroken", "SpoolFull", "failure", "folders_in"]


class SpoolFull(Full):
    """Raised when the spool's file system has no room. Room may come back later."""


class SpoolBroken(Broken):
    """Raised when the disk, the permissions or a limit of the system prevent the work; the text names the remedy."""


class NotClaimed(Exception):
    """Raised when another thread or process has the entry: it is in delivery."""


class NoSuchEntry(Exception):
    """Raised when there is no entry of that name, or none any more."""


class NotWaiting(Exception):
    """Raised when a message does not wait for approval, or is decided already."""


class Folders(NamedTuple):
    """The absolute names of the folders in the spool."""

    new: str
    cur: str
    state: str
    tmp: str
    maildrop: str
    quarantine: str


def folders_in(path: str) -> Folders:
    """Return the folders of the spool at `path`."""
    return Folders(*(os.path.join(path, name) for name in Folders._fields))


def failure(error: OSError, place: str) -> SpoolFull | SpoolBroken:
    """Return the exception to raise from `error`, which happened to the file or folder `place`."""
    words = f"{place}: {advice(error, 'the spool folder')}"
    return SpoolFull(words) if is_full(error) else SpoolBroken(words)

"""The time of the last backup, in a file of the spool folder: the run folder does not survive a restart."""

import os

from smtpd_classic import atomic_file

__all__ = ["last_backup", "note_backup"]

_NAME = "last-backup"


def note_backup(spool_folder: str, now: float) -> None:
    """Store the time of a backup. Raises OSError."""
    atomic_file.replace(os.path.join(spool_folder, _NAME), f"{now:.0f}\n".encode())


def last_backup(spool_folder: str) -> float | None:
    """Return the time of the last backup; None without one. Raises OSError."""
    try:
        with open(os.path.join(spool_folder, _NAME), encoding="ascii", errors="replace") as file:
            return float(file.read(32))
    except (FileNotFoundError, ValueError):
        return None

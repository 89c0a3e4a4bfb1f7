"""Other hosts that failed of late, as the delivering process writes them down in the run folder."""

import json
from typing import NamedTuple

__all__ = ["HOSTS_FILE", "HostMark", "read_marks"]

HOSTS_FILE = "hosts.json"


class HostMark(NamedTuple):
    """One failure of a host (`name:port`); times are wall-clock."""

    host: str
    since: float
    until: float
    reason: str
    dead: bool


def read_marks(path: str, now: float) -> list[HostMark]:
    """What `save` wrote, as far as it still holds; nothing when there is none."""
    try:
        with open(path, encoding="utf-8") as file:
            marks = [
                HostMark(
                    str(row["host"]), float(row["since"]), float(row["until"]), str(row["reason"]), bool(row["dead"])
                )
                for row in json.load(file)
            ]
    except (OSError, ValueError, TypeError, KeyError):
        return []
    return [mark for mark in marks if now < mark.until]

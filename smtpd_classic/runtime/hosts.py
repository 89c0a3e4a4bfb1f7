"""Next hops that back off, as the delivering process writes them into the run folder."""

import json
from typing import Any, NamedTuple

__all__ = ["HOSTS_FILE", "HostMark", "read_all_marks", "read_marks"]

HOSTS_FILE = "hosts.json"


class HostMark(NamedTuple):
    """The last failure of a host. Times are wall-clock.

    `dead`: not tried until then, else tried last. `limit` is the number of sessions that it may have now, `waiting` the
    number of messages that wait for it; 0 if the writer did not count them. `address` is the address that failed, and
    `failures` the number of its failures in a row.
    """

    host: str
    since: float
    until: float
    reason: str
    dead: bool
    port: int = 0
    limit: int = 0
    waiting: int = 0
    failures: int = 0
    address: str = ""

    @property
    def place(self) -> str:
        return f"{self.host}:{self.port}" if self.port else self.host


def read_marks(path: str, now: float) -> list[HostMark]:
    """Return the marks that still hold, the last one of each host."""
    return list({mark.place: mark for mark in sorted(read_all_marks(path, now), key=lambda mark: mark.until)}.values())


def read_all_marks(path: str, now: float) -> list[HostMark]:
    """Return the marks that still hold, one of each address; none without a file. Unknown keys are ignored."""
    try:
        with open(path, encoding="utf-8") as file:
            marks = [_mark(row) for row in json.load(file)]
    except (OSError, ValueError, TypeError, KeyError):
        return []
    return [mark for mark in marks if now < mark.until]


def _mark(row: dict[str, Any]) -> HostMark:
    mark = HostMark(str(row["host"]), float(row["since"]), float(row["until"]), str(row["reason"]), bool(row["dead"]))
    port, limit, waiting, failures = (int(row.get(name, 0)) for name in ("port", "limit", "waiting", "failures"))
    address = str(row.get("address", ""))
    return mark._replace(port=port, limit=limit, waiting=waiting, failures=failures, address=address)

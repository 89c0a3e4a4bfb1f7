"""`smtpd-classic queue hosts` and `queue flush`: the next hops that mail waits for."""

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator
from typing import Any

from smtpd_classic.config import Config
from smtpd_classic.domain_name import spellings
from smtpd_classic.log import printable
from smtpd_classic.runtime import Runtime
from smtpd_classic.runtime.hosts import HOSTS_FILE, HostMark, read_marks
from spool import WAITING, NoSuchEntry, NotClaimed, RecipientState, Spool
from spool.rows import rows

__all__ = ["ACTIONS", "add_arguments", "backing_off", "run"]

ACTIONS = ("flush", "hosts")


def add_arguments(actions: Any) -> None:
    flush = actions.add_parser("flush", help="try now everything that waits, or everything for one next hop")
    flush.add_argument(
        "next_hop",
        nargs="?",
        metavar="NEXT-HOP",
        help="a recipient's domain, or the name or IP address of a host as `queue hosts` shows it",
    )
    hosts = actions.add_parser("hosts", help="the next hops that back off: since when, until when, why, how many wait")
    hosts.add_argument("--json", action="store_true", help="print JSON")


def run(config: Config, spool: Spool, args: argparse.Namespace) -> int:
    runtime = Runtime(config.server.run_folder)
    if args.action == "flush":
        return _flush(spool, runtime, args.next_hop)
    now = time.time()
    found = backing_off(runtime, spool, now)
    print(json.dumps(found, indent=2) if args.json else "\n".join(_table(found, now)))
    return os.EX_OK


def backing_off(runtime: Runtime, spool: Spool, now: float) -> list[dict[str, Any]]:
    """Return the next hops that back off, the longest failing first. Where the server has not counted the messages that
    wait for a host, they are counted in the queue."""
    marks = read_marks(os.path.join(runtime.folder, HOSTS_FILE), now)
    marks.sort(key=lambda mark: (mark.since, mark.place))
    waiting = {} if not marks or any(mark.waiting for mark in marks) else _waiting(spool)
    return [_fields(mark, waiting.get(mark.place.lower(), 0)) for mark in marks]


def _fields(mark: HostMark, waiting: int) -> dict[str, Any]:
    return mark._asdict() | {"host": mark.place, "waiting": mark.waiting or waiting}


def _waiting(spool: Spool) -> dict[str, int]:
    """Return the number of messages for each host (`name:port`) that deferred them last."""
    found: dict[str, int] = {}
    for listed in spool.list_by_arrival():
        if listed.attempted:
            for place in _places(spool, listed.queue_id):
                found[place] = found.get(place, 0) + 1
    return found


def _places(spool: Spool, queue_id: str) -> set[str]:
    try:
        _, state = spool.read(queue_id)
    except NoSuchEntry:
        return set()
    return {_place(each).lower() for each in state.recipients if each.state == WAITING and each.host}


def _place(recipient: RecipientState) -> str:
    """Return `mx.example[192.0.2.1]:25` as `mx.example:25`."""
    name, bracket, rest = recipient.host.partition("[")
    return name + rest.partition("]")[2] if bracket else recipient.host


def _table(found: list[dict[str, Any]], now: float) -> Iterator[str]:
    if not found:
        yield "No next hop backs off."
        return
    yield f"{'Since':8}  {'Until':8}  {'Waiting':>7}  Next hop, reason"
    for each in found:
        tried = "" if each["dead"] else " (tried last)"
        yield (
            f"{_clock(each['since'], now):8}  {_clock(each['until'], now):8}  {each['waiting']:>7}  "
            f"{printable(each['host'], 256)}{tried}: {printable(each['reason'], 300)}"
        )


def _clock(when: float, now: float) -> str:
    day = abs(when - now) < 12 * 3600
    return time.strftime("%H:%M:%S" if day else "%d %b", time.localtime(when))


def _flush(spool: Spool, runtime: Runtime, next_hop: str | None) -> int:
    done = 0
    for queue_id in list(_waiting_for(spool, next_hop)):
        try:
            spool.retry_now(queue_id)
        except (NotClaimed, NoSuchEntry):
            continue  # it is in delivery, or done
        runtime.wake(queue_id)
        done += 1
    print(f"To be tried now: {done}.", file=sys.stderr)
    return os.EX_OK


def _waiting_for(spool: Spool, next_hop: str | None) -> Iterator[str]:
    """Return the messages that are not held and have a recipient for the next hop, the oldest first."""
    listed = (each for each in spool.list_by_arrival() if not each.held)
    if next_hop is None:
        yield from (each.queue_id for each in listed)
        return
    wanted = {next_hop.lower(), *spellings(next_hop.strip("[]"))}
    for row in rows(spool, listed):
        domains = {address.lower().rpartition("@")[2] for address in row.recipients}
        if wanted & domains.union(*map(_names, row.hosts)):
            yield row.queue_id


def _names(host: str) -> set[str]:
    """Return the words by which `mx.example[192.0.2.1]:25` may be named: name, address, each with the port too."""
    name, _, rest = host.lower().partition("[")
    ip, _, port = rest.partition("]")
    return {name, f"{name}{port}", ip, f"{ip}{port}"} - {""}

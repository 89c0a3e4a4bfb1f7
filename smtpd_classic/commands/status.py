"""`smtpd-classic status`: whether the server runs, and how it is."""

import argparse
import json
import os
import time
from collections.abc import Iterator
from typing import Any

from smtpd_classic.commands.failures import guarded, needs
from smtpd_classic.commands.neighbour_states import dns_lists, dovecot, milters, neighbour_lines, shared_state
from smtpd_classic.commands.queue_hosts import backing_off
from smtpd_classic.config import Config, ConfigProblems, load
from smtpd_classic.config.kinds import DURATION
from smtpd_classic.log import printable
from smtpd_classic.runtime import COUNTED, Runtime
from smtpd_classic.runtime.status import places
from smtpd_classic.server.tls import days_left
from spool import Spool, SpoolBroken

__all__ = ["HELP", "add_arguments", "run"]

HELP = "how the server is"

NOT_RUNNING = 3  # as systemctl and init scripts have it (LSB)
_MOST_HOSTS = 10
_CHECKED = {"passed DMARC": "auth_passed", "junk": "junk", "refused": "auth_refused"}
_FEW_DAYS = 10
_LEVELS = ("OK", "WARNING", "CRITICAL")
_SHOWN_TOTALS = ("received", "delivered", "deferred", "rejected", "bounced")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument(
        "--check", action="store_true", help="print one line and exit with 0 (good), 1 (doubtful) or 2 (bad)"
    )
    parser.add_argument(
        "--warn-age",
        metavar="AGE",
        type=_age,
        default=3600.0,
        help="of the oldest queued message: doubtful from here (1h)",
    )
    parser.add_argument("--critical-age", metavar="AGE", type=_age, default=86400.0, help="bad from here (1d)")


def _age(text: str) -> float:
    try:
        return DURATION.parse(text).total_seconds()
    except ValueError as problem:
        raise argparse.ArgumentTypeError(str(problem)) from None


def run(args: argparse.Namespace) -> int:
    if args.check:
        return _checked(args)
    return guarded(lambda: _show(load(args.config), as_json=args.json))


def _checked(args: argparse.Namespace) -> int:
    """Print one line as monitoring plugins do, and return their exit status."""
    try:
        found = gathered(load(args.config), time.time())
    except (ConfigProblems, OSError) as problem:
        words = str(problem).splitlines()[0] if isinstance(problem, ConfigProblems) else _about_file(problem)
        print(f"{_LEVELS[2]}: {printable(words, 400)}")
        return 2
    reasons = tuple(_complaints(found, args.warn_age, args.critical_age))
    level = max((each for each, _ in reasons), default=0)
    queue = found["queue"] or {}
    said = "; ".join(words for _, words in sorted(reasons, reverse=True)) or f"{sum(queue.values())} messages queued"
    print(f"{_LEVELS[level]}: {said} | queue={sum(queue.values())} oldest={found['queue_oldest_s']:.0f}s")
    return level


def _about_file(problem: OSError) -> str:
    return f"{problem.filename}: {problem.strerror}" if problem.filename else str(problem)


def _complaints(found: dict[str, Any], warn_s: float, critical_s: float) -> Iterator[tuple[int, str]]:
    """Yield each reason with its level, 1 or 2."""
    if not found["running"]:
        yield 2, "the server is down"
    if found["queue"] is None:
        yield 2, "the queue cannot be read"
    oldest = found["queue_oldest_s"]
    if oldest and oldest >= min(warn_s, critical_s):  # 0: no message waits
        yield 2 if oldest >= critical_s else 1, f"the oldest queued message waits for {oldest / 3600:.1f} h"
    days = found["certificate_days_left"]
    if days is not None and days < _FEW_DAYS:
        yield (
            2 if days < 0 else 1,
            "the certificate has expired" if days < 0 else f"the certificate ends in {days} days",
        )
    if found["not_listening"]:
        yield 1, str(found["not_listening"][0]).rstrip(".")
    yield from _neighbour_complaints(found)
    if found["error"]:
        yield 1, "the last reload was refused"


def _neighbour_complaints(found: dict[str, Any]) -> Iterator[tuple[int, str]]:
    for each in found["milters"]:
        if each["state"] == "down":
            yield 1, f"the milter {each['name']} is down (when_down = {each['when_down']})"
    for each in found["lists"]:
        if each["state"] == "off":
            yield 1, f"the list {each['zone']} is off"
    if found["shared_state"] and found["shared_state"]["state"] == "down":
        yield 1, "the shared state does not answer"
    for each in found["dovecot"]:
        if each["state"] == "down":
            yield 1, f"the socket {each['path']} of Dovecot does not answer"


def _show(config: Config, *, as_json: bool) -> int:
    found = gathered(config, time.time())
    print(json.dumps(found, indent=2) if as_json else "\n".join(_lines(found)))
    return os.EX_OK if found["running"] else NOT_RUNNING


def gathered(config: Config, now: float) -> dict[str, Any]:
    """Everything, as it is printed in JSON; most of it also when the server is down. Raises OSError."""
    runtime = Runtime(config.server.run_folder)
    needs(runtime.status.path)  # else the server would seem to be down
    status = runtime.status.running()
    hour = runtime.counters.minutes(60)
    queue, oldest_s = _queue(config, now, running=status is not None)
    return {
        "running": status is not None,
        "state": status.state if status else "down",
        "pid": status.pid if status else None,
        "since": status.since if status else None,
        "version": status.version if status else None,
        "configuration": config.path,
        "generation": status.generation if status else None,
        "configuration_in_force": None if status is None else status.digest == config.digest,
        "error": status.error if status else "",
        "waiting_for_restart": list(status.waiting_for_restart) if status else [],
        "listening": [_place(each) for each in status.listening] if status else [],
        "not_listening": list(status.not_listening) if status else [],
        "processes": status.children if status else {},
        "certificate_days_left": days_left(config.server.certificate) if config.basic.allow_tls else None,
        "connections": runtime.counters.open_connections() if status else 0,
        "blocked_clients": len(runtime.blocks.list()),
        "totals": runtime.counters.totals(),
        "last_hour": {name: sum(minute.counts[name] for minute in hour) for name in COUNTED},
        "measured": runtime.counters.measured(),
        "queue": queue,
        "queue_oldest_s": oldest_s,
        "hosts": _hosts(config, runtime, now),
        "milters": milters(config, runtime),
        "lists": dns_lists(config, runtime),
        "shared_state": shared_state(config, runtime),
        "dovecot": dovecot(config, runtime),
    }


def _place(each: Any) -> dict[str, Any]:
    return {"name": each.name, "address": each.address, "port": each.port, "tls": each.tls, "text": places([each])}


def _queue(config: Config, now: float, *, running: bool) -> tuple[dict[str, int] | None, float]:
    """Return the number of messages in each state, None if the spool cannot be read, and the age of the oldest that is
    not held.
    """
    counts = {"new": 0, "due": 0, "waiting": 0, "held": 0}
    oldest = now
    try:
        if not running and _is_unmade(config.server.spool_folder):
            return counts, 0.0
        for entry in Spool(config.server.spool_folder).list():
            if entry.held:
                counts["held"] += 1
                continue
            oldest = min(oldest, entry.arrival)
            if not entry.attempted:
                counts["new"] += 1
            else:
                counts["due" if entry.next_attempt <= now else "waiting"] += 1
    except (OSError, SpoolBroken):
        return None, 0.0
    return counts, now - oldest


def _is_unmade(folder: str) -> bool:
    """Return True if the first start has yet to make the spool in its folder. Raises OSError."""
    try:
        return not {"new", "cur", "state"} & set(os.listdir(folder))
    except FileNotFoundError:
        return True


def _hosts(config: Config, runtime: Runtime, now: float) -> list[dict[str, Any]]:
    """Return the next hops that back off: the reasons why mail waits."""
    try:
        return backing_off(runtime, Spool(config.server.spool_folder), now)
    except (OSError, SpoolBroken):
        return []


def _milter_results(found: dict[str, Any]) -> Iterator[str]:
    """Yield the results of each milter since the start, without those that have not occurred."""
    label = "milter results"
    for each in found["milters"]:
        shown = {result.replace("_", " "): number for result, number in each["results"].items() if number}
        if shown:
            yield f"{label:15}{printable(each['name'], 100)}: {_counts(shown)}"
            label = ""


def _host_lines(found: list[dict[str, Any]]) -> Iterator[str]:
    for number, each in enumerate(found[:_MOST_HOSTS]):
        until = time.strftime("%H:%M:%S", time.localtime(each["until"]))
        words = f"{each['host']} until {until}, {each['waiting']} waiting: {each['reason']}"
        yield f"{'' if number else 'backing off':15}{printable(words, 400)}"
    if len(found) > _MOST_HOSTS:
        yield f"{'':15}and {len(found) - _MOST_HOSTS} more (smtpd-classic queue hosts)"


def _lines(found: dict[str, Any]) -> list[str]:
    if found["running"]:
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(found["since"]))
        lines = [f"{'server':15}{found['state']}, process {found['pid']}, since {since}"]
    else:
        lines = [f"{'server':15}down"]
    lines.append(f"{'configuration':15}{found['configuration']}{_in_force(found)}")
    lines += [f"{'listening':15}{place['text']}, TLS {place['tls']}" for place in found["listening"]]
    lines += [f"{'not listening':15}{sentence}" for sentence in found["not_listening"]]
    if found["certificate_days_left"] is not None:
        lines.append(f"{'certificate':15}{found['certificate_days_left']} days left")
    queue = found["queue"]
    lines.append(f"{'queue':15}{_counts(queue) if queue is not None else 'cannot be read'}")
    lines += _host_lines(found["hosts"])
    lines += neighbour_lines(found)
    lines += _milter_results(found)
    lines.append(f"{'connections':15}{found['connections']} open; {found['blocked_clients']} clients blocked")
    lines.append(f"{'last hour':15}{_counts({name: found['last_hour'][name] for name in _SHOWN_TOTALS})}")
    lines.append(f"{'in all':15}{_counts({name: found['totals'][name] for name in _SHOWN_TOTALS})}")
    checked = {word: found["totals"][name] for word, name in _CHECKED.items()}
    lines.append(f"{'authentication':15}{_counts(checked)}")
    lines += [f"{'last reload':15}refused: {line}" for line in found["error"].splitlines()]
    lines += [f"{'restart':15}{sentence}" for sentence in found["waiting_for_restart"]]
    return lines


def _in_force(found: dict[str, Any]) -> str:
    in_force = found["configuration_in_force"]
    return "" if in_force in {True, None} else " (changed since the server read it)"


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{number} {name}" for name, number in counts.items())

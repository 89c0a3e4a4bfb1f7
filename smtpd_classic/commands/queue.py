"""`smtpd-classic queue`: list, show and change the messages that wait, and the next hops they wait for."""

import argparse
import json
import os
import sys
import time
from collections.abc import Iterable, Iterator

from smtpd_classic.commands import queue_adopt, queue_hosts
from smtpd_classic.commands.failures import Refused, guarded, needs
from smtpd_classic.commands.queue_selection import QueueSelection
from smtpd_classic.commands.queue_text import as_json, as_mailq, as_message, as_table
from smtpd_classic.config import Config, load
from smtpd_classic.config.kinds import DURATION
from smtpd_classic.daemon.privileges import PrivilegeProblem, drop, service_user
from smtpd_classic.holds import hold_notes
from smtpd_classic.runtime import Runtime
from spool import Hold, Listed, NoSuchEntry, NotClaimed, NotWaiting, Spool, SpoolBroken, SpoolFull
from spool.actions import ACTIONS, WAKING
from spool.entry import APPROVAL
from spool.rows import STATES, is_in_delivery, row_of, rows

__all__ = ["HELP", "add_arguments", "run"]

HELP = "list, retry, hold, release and delete the messages that wait in the queue"
_FLUSH_S = 0.5
_SUMMARIES = {
    "retry": "try to deliver now",
    "hold": "keep from being delivered until released",
    "release": "end a hold",
    "approve": "send a message that waits for approval",
    "refuse": "return a message that waits for approval to its sender",
    "delete": "delete, without a notice to the sender",
}
_DONE = {"retry": "To be tried now", "hold": "Held", "release": "Released", "delete": "Deleted"}
_DONE |= {"approve": "Approved", "refuse": "Refused"}
_HELD = {"retry": "On hold", "release": "Waiting for approval now"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="one row a message, the oldest first")
    _add_selection(listing)
    forms = listing.add_mutually_exclusive_group()
    forms.add_argument("--json", action="store_true", help="one JSON object a line, with the keys of postqueue -j")
    forms.add_argument("--mailq", action="store_true", help="in the form of mailq")
    forms.add_argument("--count", action="store_true", help="only the number")
    show = actions.add_parser("show", help="everything about one message: envelope, header, last transcript")
    show.add_argument("ids", nargs="+", metavar="ID")
    show.add_argument("--json", action="store_true", help="print JSON")
    show.add_argument("--content", action="store_true", help="the message itself and nothing else")
    for name, summary in _SUMMARIES.items():
        _add_selection(actions.add_parser(name, help=summary))
    queue_hosts.add_arguments(actions)
    queue_adopt.add_arguments(actions)


def _add_selection(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("ids", nargs="*", metavar="ID")
    parser.add_argument("--all", action="store_true", help="all messages")
    parser.add_argument("--sender", metavar="ADDRESS", help="from this sender; * matches anything, <> the null sender")
    parser.add_argument("--recipient", metavar="ADDRESS", help="with this recipient still waiting; * matches anything")
    parser.add_argument("--domain", metavar="DOMAIN", help="with a recipient of this domain still waiting")
    parser.add_argument("--older", metavar="AGE", type=_age, help="that came longer ago, as in 2d")
    parser.add_argument("--newer", metavar="AGE", type=_age, help="that came later, as in 30m")
    parser.add_argument("--state", choices=STATES, help="in this state")
    parser.add_argument("--reason", metavar="REASON", help="held for this reason, such as “by hand”")
    parser.add_argument("--restored", action="store_true", help="held because they came from a backup")


def _age(text: str) -> float:
    try:
        return DURATION.parse(text).total_seconds()
    except ValueError as problem:
        raise argparse.ArgumentTypeError(str(problem)) from None


def run(args: argparse.Namespace) -> int:
    return guarded(lambda: _run(load(args.config), args))


def _run(config: Config, args: argparse.Namespace) -> int:
    # As root we would leave files in the queue that the server cannot read.
    try:
        user = service_user(config.server.user)
        drop(user)
    except PrivilegeProblem as problem:
        raise Refused(str(problem), os.EX_NOUSER) from None
    if user is None:
        needs(os.path.join(config.server.spool_folder, "new"))
    spool = Spool(config.server.spool_folder, lambda words: print(words, file=sys.stderr))
    try:
        if args.action == "show":
            return _show(config, spool, args)
        if args.action in queue_hosts.ACTIONS:
            return queue_hosts.run(config, spool, args)
        if args.action == "adopt":
            return queue_adopt.run(config, spool, args)
        selection = QueueSelection.of(args, time.time())
        if args.action == "list":
            return _list(spool, selection, args)
        if not selection.chosen:
            raise Refused(
                f"Which ones? Name ids, a selection such as --domain, or --all to {args.action}.", os.EX_USAGE
            )
        return _act(spool, Runtime(config.server.run_folder), selection, args.action)
    except (SpoolBroken, SpoolFull) as problem:
        raise Refused(str(problem), os.EX_IOERR) from None


def _list(spool: Spool, selection: QueueSelection, args: argparse.Namespace) -> int:
    if args.count and not selection.needs_envelope:
        print(sum(1 for _ in _listed(spool, selection)) if selection.narrows else spool.count())
        return os.EX_OK
    chosen = (row for row in rows(spool, _listed(spool, selection)) if selection.matches(row))
    if args.count:
        print(sum(1 for _ in chosen))
    elif args.json:
        _print(map(as_json, chosen))
    elif args.mailq:
        _print(as_mailq(chosen))
    else:
        _print(as_table(chosen, time.time()))
    return os.EX_OK


def _print(lines: Iterable[str]) -> None:
    """Print the lines as they come: the first ones at once, also into a pipe, then in blocks of half a second."""
    flush_at = 0.0
    for line in lines:
        print(line)
        if (now := time.monotonic()) >= flush_at:
            sys.stdout.flush()
            flush_at = now + _FLUSH_S


def _listed(spool: Spool, selection: QueueSelection) -> Iterator[Listed]:
    """Return the messages that may match, the oldest first, without opening a file."""
    if not selection.ids:
        return filter(selection.may_match, spool.list_by_arrival())
    return filter(selection.may_match, iter(sorted(spool.list())))


def _show(config: Config, spool: Spool, args: argparse.Namespace) -> int:
    shown = []
    for queue_id in args.ids:
        try:
            if args.content:
                _copy(spool, queue_id)
                continue
            entry, state = spool.read(queue_id)
        except NoSuchEntry:
            raise Refused(f"There is no message {queue_id} in the queue.", os.EX_NOINPUT) from None
        with spool.open_content(queue_id) as content:
            row = row_of(entry, state, active=is_in_delivery(spool, queue_id))
            shown.append(as_message(row, entry, state, content.read(256 * 1024), hold_notes(config, state)))
    if args.json:
        print(json.dumps([each.fields for each in shown], indent=2, ensure_ascii=False))
    else:
        for each in shown:
            _print(each.lines)
    return os.EX_OK


def _copy(spool: Spool, queue_id: str) -> None:
    with spool.open_content(queue_id) as content:
        for chunk in content.chunks():
            sys.stdout.buffer.write(chunk)


def _act(spool: Spool, runtime: Runtime, selection: QueueSelection, action: str) -> int:
    """Apply the action to each message; one that is busy or gone does not stop the others."""
    done, busy, missing, waiting = 0, 0, 0, 0
    for queue_id in _chosen(spool, selection):
        try:
            hold = ACTIONS[action](spool, queue_id, time.time())
        except NotClaimed:
            busy += 1
            print(f"{queue_id} is being delivered just now.", file=sys.stderr)
            continue
        except NoSuchEntry:
            missing += 1
            print(f"There is no message {queue_id} in the queue.", file=sys.stderr)
            continue
        except NotWaiting:
            missing += 1
            print(f"{queue_id} does not wait for approval.", file=sys.stderr)
            continue
        if hold is None:
            done += 1
        else:
            waiting += 1
            print(_still_held(queue_id, hold), file=sys.stderr)
        if action in WAKING:
            runtime.wake(queue_id)
    print(f"{_DONE[action]}: {done}." + (f" {_HELD[action]}: {waiting}." if waiting else ""), file=sys.stderr)
    if busy:
        return os.EX_TEMPFAIL
    return os.EX_NOINPUT if missing else os.EX_OK


def _still_held(queue_id: str, hold: Hold) -> str:
    if hold.reason == APPROVAL:
        return f"{queue_id} waits for approval ({hold.text}): smtpd-classic queue approve {queue_id}"
    return f"{queue_id} is on hold ({hold}): smtpd-classic queue release {queue_id}"


def _chosen(spool: Spool, selection: QueueSelection) -> Iterator[str]:
    if selection.only_ids:
        yield from selection.ids
        return
    # All of them before the first is changed: a message that is retried may be gone before its turn to be listed.
    found = list(_listed(spool, selection))
    if not selection.needs_envelope:
        yield from (each.queue_id for each in found)
        return
    yield from (row.queue_id for row in rows(spool, found) if selection.matches(row))

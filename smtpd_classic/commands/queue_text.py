"""The queue as text: a table, the form of mailq, JSON, and one message in full.

Control characters in text of other people are made visible; JSON escapes them itself.
"""

import json
import re
import time
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from smtpd_classic.config.kinds import SIZE
from smtpd_classic.holds import HoldNotes
from smtpd_classic.log import printable
from smtpd_classic.message.headers import end_of_header_block
from spool import Entry, State
from spool.entry import APPROVAL
from spool.rows import ACTIVE, HELD, NEW, QueueRow

__all__ = ["Shown", "as_json", "as_mailq", "as_message", "as_table"]

_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_POSTFIX_QUEUES = {NEW: "incoming", ACTIVE: "active", HELD: "hold"}
_MARKS = {ACTIVE: "*", HELD: "!"}


class Shown(NamedTuple):
    """One message for people and for programs."""

    lines: list[str]
    fields: dict[str, Any]


def as_json(row: QueueRow) -> str:
    """Return a row with the keys of postqueue(1) -j, and more."""
    return json.dumps(
        {
            "queue_name": _POSTFIX_QUEUES.get(row.state, "deferred"),
            "queue_id": row.queue_id,
            "arrival_time": int(row.arrival),
            "message_size": row.size,
            "forced_expire": False,
            "sender": row.sender or "MAILER-DAEMON",
            "recipients": [
                {"address": address, "delay_reason": reason} if reason else {"address": address}
                for address, reason in zip(row.recipients, row.delay_reasons, strict=True)
            ],
            "state": row.state,
            "attempts": row.attempts,
            "last_attempt": int(row.last_attempt),
            "next_attempt": int(row.next_attempt),
            "delivered": row.delivered,
            "failed": row.failed,
            "hold_reason": row.hold_reason,
            "hold_text": row.hold_text,
        },
        ensure_ascii=False,
    )


def as_mailq(rows: Iterable[QueueRow]) -> Iterator[str]:
    """Return the lines of Postfix's mailq, for programs that read them."""
    number, size = 0, 0
    for row in rows:
        if not number:
            yield f"{'-Queue ID-':21} {'--Size--':>8} {'---Arrival Time----':19} -Sender/Recipient------"
        number, size = number + 1, size + row.size
        when = time.strftime("%a %b %d %H:%M:%S", time.localtime(row.arrival))
        mark = row.queue_id + _MARKS.get(row.state, "")
        yield f"{mark:21} {row.size:8d} {when:>19} {printable(row.sender, 256) or 'MAILER-DAEMON'}"
        if row.hold_reason:
            yield f"{'':>20}(held: {_hold(row)})"
        for address, reason in zip(row.recipients, row.delay_reasons, strict=True):
            if reason:
                yield f"{'':>20}({printable(reason, 400)})"
            yield f"{'':51}{printable(address, 256)}"
        yield ""
    if number:
        yield f"-- {(size + 1023) // 1024} Kbytes in {number} Request{'s' if number > 1 else ''}."
    else:
        yield "Mail queue is empty"


def as_table(rows: Iterable[QueueRow], now: float) -> Iterator[str]:
    number = 0
    for row in rows:
        if not number:
            yield f"{'Queue id':20}  {'State':7}  {'Age':>4}  {'Tries':>5}  {'Next':>4}  {'Size':>6}  From, to, reason"
        number += 1
        due = row.next_attempt - now
        following = "-" if row.state == HELD else "now" if due <= 0 else _span(due)
        yield (
            f"{row.queue_id:20}  {row.state:7}  {_span(now - row.arrival):>4}  {row.attempts:>5}  {following:>4}  "
            f"{_short(row.size):>6}  {printable(row.sender, 256) or '<>'}"
        )
        indent = " " * 58
        if row.hold_reason:
            yield f"{indent}held: {_hold(row)}"
        for address, reason in zip(row.recipients[:5], row.delay_reasons, strict=False):
            yield f"{indent}to {printable(address, 256)}{': ' if reason else ''}{printable(reason, 300)}"
        if len(row.recipients) > 5:
            yield f"{indent}and {len(row.recipients) - 5} more"
    if not number:
        yield "The queue is empty."


def as_message(row: QueueRow, entry: Entry, state: State, content: bytes, notes: HoldNotes | None) -> Shown:
    """Return one message in full. `content` is its beginning, with the header block; `notes` are about its hold."""
    end = end_of_header_block(content)
    header = (content if end < 0 else content[:end]).decode("utf-8", "replace")
    lines = [*_about(row, entry, state, notes), *_recipients(entry, state)]
    lines += ["", "Header", *(f"    {printable(line, 998)}" for line in header.splitlines())]
    if state.transcript:
        lines += ["", "Last transcript", *(f"    {printable(line, 700)}" for line in state.transcript.splitlines())]
    fields = row.as_dict() | {
        "hold_until": notes.until if notes is not None else 0.0,
        "approval": notes.approval if notes is not None else "",
        "managers": list(notes.managers) if notes is not None else [],
        "decision": state.decision,
        "client": entry.envelope.client,
        "login": entry.envelope.login,
        "authentication": _results(entry),
        "junk": entry.envelope.junk,
        "signed": entry.envelope.sign,
        "header": header,
        "transcript": state.transcript,
        "all_recipients": [each._asdict() for each in state.recipients],
    }
    return Shown([*lines, ""], fields)


def _about(row: QueueRow, entry: Entry, state: State, notes: HoldNotes | None) -> Iterator[str]:
    envelope = entry.envelope
    known = {
        "Queue id": row.queue_id,
        "State": row.state,
        "Held": _held_since(row, state),
        "Arrived": _moment(entry.arrival),
        "Size": _short(entry.size),
        "From": envelope.sender or "<>",
        "Client": envelope.client,
        "Login": envelope.login,
        "Checked": _results(entry) + (" -> junk" if envelope.junk else ""),
        "Signature": "added where a copy leaves" if envelope.sign else "",
        "Attempts": str(state.attempts),
        "Last attempt": _moment(state.last_attempt),
        "Next attempt": _next_when_held(state)
        if state.held
        else _moment(row.next_attempt)
        if state.attempts
        else "at once",
    }
    for name, text in known.items():
        if text:
            yield f"{name + ':':14}{printable(text, 400)}"
        if name == "Held" and notes is not None:
            yield from (f"{'':14}{printable(each, 2000)}" for each in notes.sentences)


def _next_when_held(state: State) -> str:
    if state.hold_reason != APPROVAL:
        return "when released"
    return "none" if state.decision else "when approved"


def _hold(row: QueueRow) -> str:
    return printable(f"{row.hold_reason}: {row.hold_text}" if row.hold_text else row.hold_reason, 300)


def _held_since(row: QueueRow, state: State) -> str:
    since = f"since {_moment(state.held_since)}, " if state.held_since else ""
    return f"{since}{_hold(row)}" if row.hold_reason else ""


def _results(entry: Entry) -> str:
    """Return the results of SPF, DKIM and DMARC in one line, as they stand in Authentication-Results."""
    name, _, value = entry.envelope.fields.partition(":")
    if name != "Authentication-Results":
        return ""
    return " ".join(re.split(r"\n(?![ \t])", value, maxsplit=1)[0].split()).partition("; ")[2]


def _recipients(entry: Entry, state: State) -> Iterator[str]:
    for each, recipient in zip(state.recipients, entry.envelope.recipients, strict=True):
        alias = f" (of {printable(recipient.original, 256)})" if recipient.original else ""
        tries = "1 attempt" if each.attempts == 1 else f"{each.attempts} attempts"
        yield f"{'To:':14}{printable(each.address, 256)}{alias}: {each.state}, {tries}"
        if each.last_reply:
            yield f"{'':14}{printable(f'{each.host} {each.last_reply}'.strip(), 900)}"


def _moment(when: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(when)) if when else ""


def _span(seconds: float) -> str:
    if seconds < _MINUTE:
        return f"{max(seconds, 0):.0f}s"
    if seconds < _HOUR:
        return f"{seconds / _MINUTE:.0f}m"
    return f"{seconds / _HOUR:.0f}h" if seconds < 2 * _DAY else f"{seconds / _DAY:.0f}d"


def _short(size: int) -> str:
    for unit in ("", "K", "M"):
        if size < 1000:
            return f"{size:.0f}{unit}"
        size = (size + 512) // 1024
    return SIZE.format(size * 1024**3)

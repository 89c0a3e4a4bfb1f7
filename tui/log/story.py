"""The story of one message as a page: its log lines, its state in the queue, the checks, the transcript, the header."""

import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import NamedTuple

import urwid

from smtpd_classic.log_source import JournalLog, NoLog, log_source
from spool import Entry, NoSuchEntry, Spool, SpoolBroken, State
from spool.queue_id import arrival_of
from tui.log.blocks import earlier, end_of
from tui.log.times import time_of
from tui.log.window import parsed
from tui.shell.context import AppContext
from tui.widgets.dialog import Dialog
from tui.widgets.flow import Flow
from tui.widgets.text import clean, count, day_and_clock

__all__ = ["MessageStory", "explain_message", "lines_of", "question_in", "show_story"]

_MOST_LINES = 2000
_MOST_BYTES = 2 << 30
_PAGE = 500
_HEADER = 32 * 1024
_BEFORE_S = 86_400.0
_QUESTION = {
    "ip": re.compile(r"(?:client=|\bfrom )\S*\[([0-9A-Fa-f:.]{3,45})\]"),
    "sender": re.compile(r"\bfrom=<([^<>\s]*)>"),
    "recipient": re.compile(r"\b(?:orig_)?to=<([^<>\s]+)>"),
    "login": re.compile(r"\bsasl_username=([^\s,]+)"),
    "size": re.compile(r"\bsize=(\d+)"),
}


class MessageStory(NamedTuple):
    """The log lines of a message, the oldest first; its entry, state and header if it is still in the queue."""

    lines: Sequence[str]
    entry: Entry | None = None
    state: State | None = None
    header: bytes = b""


def lines_of(target: str, queue_id: str, now: float) -> list[str]:
    """Return the lines of the log with this queue id, also from before its last rotation. Raises OSError and NoLog."""
    source = log_source(target)
    if isinstance(source, JournalLog):
        return source.last(_MOST_LINES, lambda line: queue_id in line)
    found: list[str] = []
    for path in (source.place, f"{source.place}.1"):
        with suppress(FileNotFoundError):
            found[:0] = _lines_of_file(path, queue_id, now)
        if any("client=" in line or ": uid=" in line for line in found):  # the first line of a message
            break
    return found[-_MOST_LINES:]


def _lines_of_file(path: str, queue_id: str, now: float) -> list[str]:
    """Read backwards, until a line is older than the message."""
    found: list[str] = []
    oldest = arrival_of(queue_id) - _BEFORE_S
    start = end = end_of(path)
    while start > 0 and len(found) < _MOST_LINES and end - start < _MOST_BYTES:
        piece = earlier(path, start, (queue_id.lower().encode(),), _PAGE)
        start, found[:0] = piece.start, piece.lines
        first = earlier(path, start, (), 1).lines[-1:] if start > 0 else []
        at = time_of(first[0], now) if first else None
        if at is not None and at < oldest:
            break
    return found


def question_in(lines: Iterable[str]) -> dict[str, str]:
    """Return the fields of Explain that stand in these lines; the first line with a field decides."""
    found: dict[str, str] = {}
    for line in lines:
        for name, pattern in _QUESTION.items():
            match = pattern.search(line)
            if match is not None:
                found.setdefault(name, match[1])
    return found


def _asked(story: MessageStory) -> dict[str, str]:
    """Return the fields of Explain for a message: from its envelope, or from the log."""
    found = question_in(story.lines)
    if story.entry is not None:
        envelope = story.entry.envelope
        client = question_in([f"client={envelope.client}"])
        found |= client | {"sender": envelope.sender, "login": envelope.login, "size": str(story.entry.size)}
        found["recipient"] = envelope.recipients[0].original or envelope.recipients[0].address
    return found


def _read(target: str, spool: Spool, queue_id: str, now: float) -> MessageStory:
    lines: list[str] = []
    with suppress(NoLog, OSError):
        lines = lines_of(target, queue_id, now)
    try:
        entry, state = spool.read(queue_id)
        with spool.open_content(queue_id) as content:
            header = content.read(_HEADER).partition(b"\n\n")[0]
    except (NoSuchEntry, SpoolBroken):
        return MessageStory(lines)
    return MessageStory(lines, entry, state, header)


def _target(context: AppContext) -> str:
    row = context.draft.base("server")[0]
    return row.text(row.section.option("log"))


def explain_message(context: AppContext, queue_id: str) -> None:
    """Fill the screen Explain with the facts of a message, and ask."""
    target, spool, now = _target(context), Spool(context.spool_folder), context.clock()
    context.run(
        lambda: _read(target, spool, queue_id, now), lambda story: context.shell.go("Explain", values=_asked(story))
    )


def show_story(context: AppContext, queue_id: str) -> None:
    """Read the story in the background, and show it."""
    target, spool, now = _target(context), Spool(context.spool_folder), context.clock()
    context.shell.say(f"Reading the log for {queue_id} …")
    context.run(lambda: _read(target, spool, queue_id, now), lambda story: _open(context, queue_id, story))


def _open(context: AppContext, queue_id: str, story: MessageStory) -> None:
    shell = context.shell
    shell.say("")

    def explain() -> None:
        shell.close()
        shell.go("Explain", values=_asked(story))

    rows = [*_log_rows(story.lines), *_queue_rows(story, context.clock())]
    buttons = [("Close", shell.close), ("Explain", explain), ("Copy the id", lambda: shell.copy(queue_id))]
    shell.open(Dialog(f"The story of {queue_id}", rows, buttons, shell.close, width=130, focus_button=0))


def _log_rows(lines: Sequence[str]) -> list[Flow]:
    rows: list[Flow] = [urwid.Text(("head", f"Log: {count(len(lines))} lines"))]
    if not lines:
        rows.append(urwid.Text(("dim", "The log has no line of this message.")))
    for line in lines:
        found = parsed(line)
        stamp = ("dim", f"{found.day} {found.clock} ".lstrip())
        rows.append(urwid.Text([stamp, ("head", f"{found.part} "), (found.look, found.text)], wrap="any"))
    return rows


def _queue_rows(story: MessageStory, now: float) -> list[Flow]:
    entry, state = story.entry, story.state
    if entry is None or state is None:
        return [urwid.Divider(), urwid.Text(("dim", "The message is not in the queue any more."))]
    verdicts = [" ".join(line.split()) for line in re.split(r"\n(?![ \t])", entry.envelope.fields) if line.strip()]
    sections = (
        ("Recipients", [f"{each.address}: {each.state} {each.host} {each.last_reply}" for each in state.recipients]),
        ("Checks", [*verdicts, *(["It goes into the junk folder."] if entry.envelope.junk else [])]),
        (f"Transcript of the last attempt, {day_and_clock(state.last_attempt, now)}", state.transcript.splitlines()),
        ("Header", story.header.decode("utf-8", "replace").split("\n")),
    )
    rows: list[Flow] = []
    for title, lines in sections:
        if lines:
            rows += [urwid.Divider(), urwid.Text(("head", title))]
            rows += [urwid.Text(clean(line, 1000), wrap="any") for line in lines[:_MOST_LINES]]
    return rows

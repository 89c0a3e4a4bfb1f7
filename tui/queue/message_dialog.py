"""One queued message: its envelope, the state of each recipient, the last transcript, and the message itself."""

from collections.abc import Callable

import urwid

from smtpd_classic.holds import hold_notes
from spool import Entry, Spool, State
from spool.actions import ACTIONS
from spool.entry import APPROVAL
from tui.log.story import explain_message, show_story
from tui.shell.context import AppContext
from tui.widgets.dialog import Dialog
from tui.widgets.flow import Flow
from tui.widgets.text import ago, clean, size_text

__all__ = ["open_message"]

_MOST_CONTENT = 64 * 1024
_MOST_LINES = 1500


def open_message(context: AppContext, spool: Spool, queue_id: str, act: Callable[[str], None]) -> None:
    """Read the message in the background and show it; `act` runs the commands of the dialog's keys."""

    def read() -> tuple[Entry, State, bytes]:
        entry, state = spool.read(queue_id)
        with spool.open_content(queue_id) as content:
            return entry, state, content.read(_MOST_CONTENT)

    context.run(read, lambda found: context.shell.open(_dialog(context, *found, act)))


def _dialog(context: AppContext, entry: Entry, state: State, content: bytes, act: Callable[[str], None]) -> Dialog:
    def do(command: str) -> bool:
        if command == "copy":
            context.shell.copy(entry.queue_id)
        elif command in {"story", "explain"}:
            context.shell.close()
            (show_story if command == "story" else explain_message)(context, entry.queue_id)
        elif command in ACTIONS:
            context.shell.close()
            act(command)
        else:
            return False
        return True

    buttons = [
        ("Close", context.shell.close),
        ("Retry now", lambda: do("retry")),
        ("Release", lambda: do("release")) if state.held else ("Hold", lambda: do("hold")),
        ("Delete", lambda: do("delete")),
        ("Story", lambda: do("story")),
        ("Explain", lambda: do("explain")),
        ("Copy the id", lambda: do("copy")),
    ]
    if state.hold is not None and state.hold.reason == APPROVAL:
        buttons[1:3] = [("Approve", lambda: do("approve")), ("Refuse", lambda: do("refuse"))]
    rows = [*_envelope(context, entry, state), *_transcript(state), *_content(entry, content)]
    return Dialog(
        entry.queue_id, rows, buttons, context.shell.close, width=100, focus_button=0, contexts=("message",), do=do
    )


def _envelope(context: AppContext, entry: Entry, state: State) -> list[Flow]:
    now, envelope = context.clock(), entry.envelope
    values = [
        ("From", clean(envelope.sender, 320) or "<> (a notification)"),
        ("Client", clean(f"{envelope.client} {envelope.login and 'logged in as ' + envelope.login}")),
        ("Created", f"{ago(entry.arrival, now)}, {size_text(entry.size)}"),
        ("Attempts", f"{state.attempts}, last {ago(state.last_attempt, now)}"),
        (
            "Next try",
            clean(f"held ({state.hold})", 300)
            if state.held
            else ago(state.next_attempt, now)
            if state.next_attempt > now
            else "now",
        ),
    ]
    rows: list[Flow] = [_labelled(label, value) for label, value in values]
    config = context.source.config
    notes = hold_notes(config, state) if config is not None else None
    rows += [_labelled("", clean(each, 1000), "warn") for each in (notes.sentences if notes is not None else ())]
    for each in state.recipients:
        look = {"delivered": "good", "failed": "bad"}.get(each.state, "help")
        rows.append(_labelled("To", f"{clean(each.address, 320)}: {each.state}", look))
        if each.last_reply:
            host = f"{each.host}: " if each.host else ""
            rows.append(_labelled("", clean(f"{host}{each.last_reply}", 1000)))
    return rows


def _labelled(label: str, value: str, look: str = "help") -> Flow:
    return urwid.Columns([(9, urwid.Text(("head", label))), urwid.Text((look, value), wrap="any")], dividechars=1)


def _transcript(state: State) -> list[Flow]:
    if not state.transcript:
        return []
    lines = [urwid.Text(clean(line, 1000), wrap="any") for line in state.transcript.splitlines()[:_MOST_LINES]]
    return [urwid.Divider(), urwid.Text(("head", "Transcript of the last attempt")), *lines]


def _content(entry: Entry, content: bytes) -> list[Flow]:
    lines = content.split(b"\n")[:_MOST_LINES]
    shown: list[Flow] = [urwid.Text(clean(line, 1000), wrap="any") for line in lines]
    if len(content) < entry.size:
        shown.append(urwid.Text(("dim", f"… the message goes on; it has {size_text(entry.size)}.")))
    return [urwid.Divider(), urwid.Text(("head", "Message")), *shown]

"""Apply, Reset and Diff: check, show the difference, write, reload, read back, say what happened.

Apply takes the changes of all screens, since the file is one; Reset those of the screen in view.
"""

from collections.abc import Callable
from typing import NamedTuple

import urwid

from smtpd_classic.config import ConfigProblems, Problem, parse
from smtpd_classic.config.editing import ChangedMeanwhile, Edited, LockHeld, restore
from smtpd_classic.config.kinds import BOOLEAN
from smtpd_classic.config.open_relay import is_reachable, open_relay_reasons
from tui.desk import Desk
from tui.dialog import Dialog, ask, message
from tui.difference import diff_between, diff_rows
from tui.draft import Draft
from tui.flow import Flow
from tui.reloading import Answer, Took, reload
from tui.source import Source, read_source
from tui.text import clean
from tui.writing import write_into

__all__ = ["apply", "do", "settle", "tell"]

_LOCK_PATIENCE_S = 2.0


class Prepared(NamedTuple):
    """What Apply would do. `overtaken` is the file as somebody else has left it meanwhile."""

    edited: Edited | None = None
    problems: tuple[Problem, ...] = ()
    open_relay: tuple[str, ...] = ()
    overtaken: Source | None = None

    @property
    def errors(self) -> list[Problem]:
        return [each for each in self.problems if each.is_error]


def do(desk: Desk, command: str, attributes: tuple[str, ...]) -> bool:
    """Run a command of the settings screens; whether it was one. Reset is for these sections alone."""
    if command == "reset":
        desk.draft.reset(*attributes)
        desk.stage.renewed()
        desk.stage.say("Back to the values of the last Apply.")
    elif command == "apply":
        apply(desk)
    elif command == "diff":
        _begin(desk, lambda prepared: _show_diff(desk, prepared, applying=False))
    else:
        return False
    return True


def apply(desk: Desk) -> None:
    if desk.source.read_only:
        desk.stage.say(f"Read-only: {desk.source.read_only}.", "bad")
    elif desk.source.missing:
        desk.stage.say("There is no file yet; the assistant (Alt-G) makes it.", "warn")
    elif not desk.draft.changed() and not desk.overtaken():
        _nothing_changed(desk)
    else:
        _begin(desk, lambda prepared: _judge(desk, prepared))


def _nothing_changed(desk: Desk) -> None:
    status = desk.runtime.status.running()
    if status is None or status.digest == desk.source.digest:
        desk.stage.say("Nothing has been changed.")
        return
    answers = [("Stay", desk.stage.close), ("Reload", lambda: _reload_only(desk))]
    text = "Nothing was changed here, but the daemon runs with an older state of the file. Shall it read it now?"
    desk.stage.open(ask("Reload?", text, answers, desk.stage.close, safe=1))


def _reload_only(desk: Desk) -> None:
    desk.stage.close()
    desk.run(lambda: reload(desk.runtime, desk.path, desk.source.digest), lambda answer: tell(desk, answer, None))


def _begin(desk: Desk, go_on: Callable[[Prepared], None]) -> None:
    desk.stage.say("Checking …")
    draft, source = desk.draft, desk.source
    desk.run(lambda: prepare(draft, source), go_on)


def prepare(draft: Draft, source: Source) -> Prepared:
    """The edits on the file as it is on the disk now, and what the daemon would say to that."""
    now = read_source(source.path)
    if now.digest != source.digest:
        return Prepared(overtaken=now)
    edited = Edited(source.path)
    try:
        write_into(draft, edited)
    except ValueError as problem:
        return Prepared(edited, (Problem(source.path, 0, str(problem)),))
    return Prepared(edited, edited.problems(), _unconfirmed(edited.file_text, source.path))


def _unconfirmed(text: str, path: str) -> tuple[str, ...]:
    """Why this is an open relay that nobody has confirmed."""
    try:
        config = parse(text, path)
    except ConfigProblems:
        return ()
    return open_relay_reasons(config) if is_reachable(config) and not config.basic.open_relay_confirmed else ()


def _judge(desk: Desk, prepared: Prepared) -> None:
    if prepared.overtaken is not None:
        _ask_about_other(desk, prepared.overtaken)
    elif prepared.open_relay:
        _ask_about_open_relay(desk, prepared.open_relay)
    elif prepared.errors:
        text = "The server would refuse this file, so nothing was written:\n\n"
        desk.stage.say("Not applied: the server would refuse it.", "bad")
        desk.stage.open(message("Not applied", text + _listed(prepared.errors), desk.stage.close, width=76))
    else:
        _show_diff(desk, prepared, applying=True)


def _listed(problems: list[Problem]) -> str:
    return "\n".join(f"• {f'line {each.line}: ' if each.line else ''}{clean(each.text, 400)}" for each in problems)


def _ask_about_other(desk: Desk, other: Source) -> None:
    """Somebody else has written the file. Nobody's work is lost without a word."""

    def mine_on_theirs() -> None:
        desk.stage.close()
        desk.take(other, desk.draft.rebase(other.text))
        desk.stage.say("Your changes are now on top of the other file. Look at the diff, then apply.", "warn")

    def theirs() -> None:
        desk.stage.close()
        desk.take(other)
        desk.stage.say("Your changes are discarded; this is the file as it is now.", "warn")

    if other.config is None and not other.text:
        desk.stage.say("The file cannot be read any more; nothing was written.", "bad")
        return
    rows = diff_between(desk.source.text, other.text, desk.path)
    first = urwid.Text("Somebody else has changed the file since it was read here. This is what they changed:")
    answers = [("Stay", desk.stage.close), ("Keep mine on top", mine_on_theirs), ("Discard mine", theirs)]
    dialog = Dialog(
        "The file has changed meanwhile",
        [first, urwid.Divider(), *rows],
        answers,
        desk.stage.close,
        width=78,
        focus_button=0,
    )
    desk.stage.say("The file was changed by somebody else meanwhile.", "warn")
    desk.stage.open(dialog)


def _ask_about_open_relay(desk: Desk, reasons: tuple[str, ...]) -> None:
    def confirm() -> None:
        desk.stage.close()
        row = desk.draft.plain("basic")
        row.set(row.section.option("open_relay_confirmed"), BOOLEAN.format(True))
        apply(desk)

    text = (
        "With these settings ANYBODY on the Internet can send mail to anybody through this server. Spammers find such "
        "a server within hours; then others refuse all mail from it, and yours with it.\n\n"
        + "\n".join(f"• {clean(reason, 300)}" for reason in reasons)
        + "\n\nIs an open relay really what you want?"
    )
    answers = [("No, go back", desk.stage.close), ("Yes, open the relay", confirm)]
    desk.stage.say("Not applied: this would be an open relay.", "warn")
    desk.stage.open(ask("This makes an open relay", text, answers, desk.stage.close))


def _show_diff(desk: Desk, prepared: Prepared, *, applying: bool) -> None:
    edited = prepared.edited
    if prepared.overtaken is not None:
        _ask_about_other(desk, prepared.overtaken)
        return
    if edited is None or not edited.changed:
        desk.stage.say("Nothing has been changed.")
        return
    rows: list[Flow] = diff_rows(edited.diff())
    notes = [each.text for each in prepared.problems] + list(edited.restart_reasons())
    rows += [urwid.Text(("warn", f"! {clean(note, 400)}")) for note in notes]
    answers = [("Close", desk.stage.close)]
    if applying:
        answers = [("Apply", lambda: _write(desk, edited)), ("Stay", desk.stage.close)]
    desk.stage.say("")
    title = "Apply these changes?" if applying else "What Apply would change"
    desk.stage.open(Dialog(title, rows, answers, desk.stage.close, width=78, focus_button=0))


def _write(desk: Desk, edited: Edited) -> None:
    desk.stage.close()
    desk.stage.say("Writing the file and asking the daemon to read it …")
    before = desk.source

    def work() -> tuple[Source, Answer]:
        return settle(desk, before, edited.apply(_LOCK_PATIENCE_S))

    desk.run(work, lambda result: _written(desk, *result), lambda problem: _not_written(desk, problem))


def settle(desk: Desk, before: Source, version: str | None) -> tuple[Source, Answer]:
    """Reload the server after the file was written; put `version`, the former file, back if the server refuses it."""
    written = read_source(before.path)
    answer = reload(desk.runtime, before.path, written.digest)
    if answer.took is Took.REFUSED and version is not None:
        restore(before.path, version, even_if_refused=True)
        reload(desk.runtime, before.path, before.digest, patience_s=5)
        written = read_source(before.path)
    return written, answer


def _written(desk: Desk, source: Source, answer: Answer) -> None:
    if answer.took is Took.REFUSED:
        # The old file is back, and the edits still stand on the screen.
        desk.take(source, desk.draft.rebase(source.text))
    else:
        desk.take(source)
    tell(desk, answer, source)


def tell(desk: Desk, answer: Answer, source: Source | None) -> None:
    if answer.took is Took.REFUSED:
        text = f"The daemon refused the file, and runs on as before:\n\n{clean(answer.text, 900)}"
        back = "\n\nThe old file is back in its place. Your changes are still on the screen."
        desk.stage.say("Not applied: the daemon refused it.", "bad")
        desk.stage.open(message("Refused", text + (back if source else ""), desk.stage.close))
        return
    tone = "good" if answer.took is Took.YES else "warn"
    desk.stage.say(f"{'Applied. ' if source else ''}{answer.text}", tone)
    if answer.waiting:
        waiting = "\n".join(f"• {clean(each)}" for each in answer.waiting)
        text = f"Applied. These wait for a restart:\n\n{waiting}"
        desk.stage.open(message("A restart is needed", text, desk.stage.close))


def _not_written(desk: Desk, problem: Exception) -> None:
    if isinstance(problem, LockHeld):
        desk.stage.say(f"Not applied: {problem.holder or 'somebody else'} is changing the file just now.", "bad")
    elif isinstance(problem, ChangedMeanwhile):
        _begin(desk, lambda prepared: _judge(desk, prepared))
    elif isinstance(problem, ConfigProblems):
        desk.stage.open(message("Not applied", _listed(list(problem.problems)), desk.stage.close, width=76))
    else:
        desk.failure(problem)

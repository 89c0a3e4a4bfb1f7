"""Apply, Reset and Diff: check, show the difference, write, reload, read back, report the result.

Apply takes the changes of all screens, because there is one file; Reset takes only those of the screen in view.
"""

from collections.abc import Callable
from typing import NamedTuple

import urwid

from smtpd_classic.config import ConfigProblems, Problem, parse
from smtpd_classic.config.editing import ChangedMeanwhile, Edited, LockHeld, restore
from smtpd_classic.config.kinds import BOOLEAN
from smtpd_classic.config.open_relay import is_reachable, open_relay_reasons
from smtpd_classic.config.versions import forget
from tui.config.change_words import change_rows
from tui.config.changed_lists import changed_lists
from tui.config.config_file import ConfigFile, checked, read_source
from tui.config.difference import diff_between, diff_rows
from tui.config.draft import ConfigDraft
from tui.config.refusal import listed, refusal
from tui.config.reload import ReloadAnswer, ReloadOutcome, reload
from tui.config.writing import write_into
from tui.shell.context import AppContext
from tui.widgets.dialog import Dialog, ask, message
from tui.widgets.text import clean

__all__ = ["apply", "do", "report", "settle"]

_LOCK_PATIENCE_S = 2.0


class Prepared(NamedTuple):
    """The result of preparing Apply. `overtaken` is the file if another program has changed it."""

    edited: Edited | None = None
    problems: tuple[Problem, ...] = ()
    open_relay: tuple[str, ...] = ()
    overtaken: ConfigFile | None = None

    @property
    def errors(self) -> list[Problem]:
        return [each for each in self.problems if each.is_error]


def do(context: AppContext, command: str, attributes: tuple[str, ...]) -> bool:
    """Run a command of the settings screens; return True if it is one. Reset affects only these sections."""
    if command == "reset":
        context.draft.reset(*attributes)
        context.shell.renewed()
        context.shell.say("Changes discarded.")
    elif command == "apply":
        apply(context)
    elif command == "diff":
        _begin(context, lambda prepared: _show_diff(context, prepared, applying=False))
    else:
        return False
    return True


def apply(context: AppContext) -> None:
    if context.source.read_only:
        context.shell.say(f"Read-only: {context.source.read_only}.", "bad")
    elif context.source.missing:
        context.shell.say("There is no file yet; the assistant (Alt-G) makes it.", "warn")
    elif not context.draft.changed() and not context.overtaken():
        _nothing_changed(context)
    else:
        _begin(context, lambda prepared: _judge(context, prepared))


def _nothing_changed(context: AppContext) -> None:
    status = context.runtime.status.running()
    if status is None or status.digest == context.source.digest:
        context.shell.say("Nothing has been changed.")
        return
    answers = [("Stay", context.shell.close), ("Reload", lambda: _reload_only(context))]
    text = "Nothing was changed here, but the daemon runs with an older state of the file. Shall it read it now?"
    context.shell.open(ask("Reload?", text, answers, context.shell.close, safe=1))


def _reload_only(context: AppContext) -> None:
    context.shell.close()
    context.run(
        lambda: reload(context.runtime, context.path, context.source.digest),
        lambda answer: report(context, answer, None),
    )


def _begin(context: AppContext, go_on: Callable[[Prepared], None]) -> None:
    context.shell.say("Checking …")
    draft, source = context.draft, context.source
    context.run(lambda: prepare(draft, source), go_on)


def prepare(draft: ConfigDraft, source: ConfigFile) -> Prepared:
    """Return the edits on the file that is on the disk now, and the problems that the daemon would find."""
    now = read_source(source.path)
    if now.digest != source.digest:
        return Prepared(overtaken=now)
    edited = Edited(source.path)
    try:
        write_into(draft, edited)
    except ValueError as problem:
        return Prepared(edited, (Problem(source.path, 0, str(problem)),))
    problems = (*edited.problems(), *changed_lists(edited.file_text, source))
    return Prepared(edited, problems, _unconfirmed(edited.file_text, source.path))


def _unconfirmed(text: str, path: str) -> tuple[str, ...]:
    """Return the reasons why this is an open relay, if it is not confirmed."""
    try:
        config = parse(text, path)
    except ConfigProblems:
        return ()
    return open_relay_reasons(config) if is_reachable(config) and not config.basic.open_relay_confirmed else ()


def _judge(context: AppContext, prepared: Prepared) -> None:
    if prepared.overtaken is not None:
        _ask_about_other(context, prepared.overtaken)
    elif prepared.open_relay:
        _ask_about_open_relay(context, prepared.open_relay)
    elif prepared.errors:
        _say_not_applied(context, "Not applied: the server would refuse it.", "bad")
        context.shell.open(refusal(context, prepared.errors))
    else:
        _show_diff(context, prepared, applying=True)


def _say_not_applied(context: AppContext, text: str, tone: str) -> None:
    """Say why nothing was applied, until the settings are edited."""
    refused = context.draft.rows()
    context.shell.say(text, tone, lambda: context.draft.rows() == refused)


def _ask_about_other(context: AppContext, other: ConfigFile) -> None:
    """Show the changes of another program, and ask which changes to keep."""

    def mine_on_theirs() -> None:
        context.shell.close()
        context.take(other, context.draft.rebase(other.text))
        context.shell.say("Your changes are now on top of the other file. Look at the diff, then apply.", "warn")

    def theirs() -> None:
        context.shell.close()
        context.take(other)
        context.shell.say("Your changes are discarded; this is the file as it is now.", "warn")

    if other.config is None and not other.text:
        context.shell.say("The file cannot be read any more; nothing was written.", "bad")
        return
    rows = diff_between(context.source.text, other.text, context.path)
    first = urwid.Text("Another program has changed the file since it was read here. These are its changes:")
    answers = [("Stay", context.shell.close), ("Keep mine on top", mine_on_theirs), ("Discard mine", theirs)]
    dialog = Dialog(
        "The file has changed meanwhile",
        [first, urwid.Divider(), *rows],
        answers,
        context.shell.close,
        width=78,
        focus_button=0,
    )
    context.shell.say("Another program has changed the file.", "warn")
    context.shell.open(dialog)


def _ask_about_open_relay(context: AppContext, reasons: tuple[str, ...]) -> None:
    def confirm() -> None:
        context.shell.close()
        row = context.draft.single("basic")
        row.set(row.section.option("open_relay_confirmed"), BOOLEAN.format(True))
        apply(context)

    text = (
        "With these settings EVERY host on the Internet can send mail to any address through this server. Spammers "
        "find such a server within hours; then others refuse all mail from it, and yours with it.\n\n"
        + "\n".join(f"• {clean(reason, 300)}" for reason in reasons)
        + "\n\nDo you really want an open relay?"
    )
    answers = [("No, go back", context.shell.close), ("Yes, open the relay", confirm)]
    _say_not_applied(context, "Not applied: this would be an open relay.", "warn")
    context.shell.open(ask("This makes an open relay", text, answers, context.shell.close))


def _show_diff(context: AppContext, prepared: Prepared, *, applying: bool) -> None:
    edited = prepared.edited
    if prepared.overtaken is not None:
        _ask_about_other(context, prepared.overtaken)
        return
    if edited is None or not edited.changed:
        context.shell.say("Nothing has been changed.")
        return
    context.shell.say("")
    if applying:
        context.shell.open(_question(context, prepared, edited))
        return
    notes = [each.text for each in prepared.problems] + list(edited.restart_reasons())
    rows = [*diff_rows(edited.diff()), *(urwid.Text(("warn", f"! {clean(note, 400)}")) for note in notes)]
    answers = [("Close", context.shell.close)]
    title = "The changes of the file"
    context.shell.open(Dialog(title, rows, answers, context.shell.close, width=78, focus_button=0))


def _question(context: AppContext, prepared: Prepared, edited: Edited) -> Dialog:
    """Return the dialog that shows the changes in words; the difference of the file is one key away."""

    def diff() -> None:
        close = context.shell.close
        title = "The changes of the file"
        context.shell.open(Dialog(title, diff_rows(edited.diff()), [("Close", close)], close, width=78, focus_button=0))

    def do(command: str) -> bool:
        if command == "diff":
            diff()
        return command == "diff"

    after, _ = checked(edited.file_text, context.path)
    rows = change_rows(edited.changes(), context.source.config, after, edited.restart_reasons())
    rows += [urwid.Text(("warn", f"! {clean(each.text, 400)}")) for each in prepared.problems]
    answers = [("Apply", lambda: _write(context, edited)), ("Stay", context.shell.close), ("File diff F8", diff)]
    return Dialog(
        "Apply these changes?",
        rows,
        answers,
        context.shell.close,
        width=78,
        focus_button=0,
        contexts=("applying",),
        do=do,
    )


def _write(context: AppContext, edited: Edited) -> None:
    context.shell.close()
    context.shell.say("Writing the file and asking the daemon to read it …")
    before = context.source

    def work() -> tuple[ConfigFile, ReloadAnswer]:
        return settle(context, before, edited.apply(_LOCK_PATIENCE_S))

    context.run(work, lambda result: _written(context, *result), lambda problem: _not_written(context, problem))


def settle(context: AppContext, before: ConfigFile, version: str | None) -> tuple[ConfigFile, ReloadAnswer]:
    """Reload the server after the file was written; put `version`, the former file, back if the server refuses it."""
    written = read_source(before.path)
    answer = reload(context.runtime, before.path, written.digest)
    if answer.took is ReloadOutcome.REFUSED and version is not None:
        refused = restore(before.path, version, even_if_refused=True)
        for name in (version, refused):  # the server has not run in either state
            forget(before.path, name)
        reload(context.runtime, before.path, before.digest, patience_s=5)
        written = read_source(before.path)
    return written, answer


def _written(context: AppContext, source: ConfigFile, answer: ReloadAnswer) -> None:
    if answer.took is ReloadOutcome.REFUSED:
        # The old file is back; keep the edits on the screen.
        context.take(source, context.draft.rebase(source.text))
    else:
        context.take(source)
    report(context, answer, source)


def report(context: AppContext, answer: ReloadAnswer, source: ConfigFile | None) -> None:
    if answer.took is ReloadOutcome.REFUSED:
        text = "The server rejected the new configuration and keeps running with the old one:\n\n"
        text += clean(answer.text, 900)
        back = "\n\nThe old file is back in its place. Your changes are still on the screen."
        _say_not_applied(context, "Not applied: the server rejected it.", "bad")
        context.shell.open(message("Refused", text + (back if source else ""), context.shell.close))
        return
    tone = "good" if answer.took is ReloadOutcome.YES else "warn"
    holds = (lambda: not _runs(context)) if answer.took is ReloadOutcome.DOWN else None
    context.shell.say(f"{'Applied. ' if source else ''}{answer.text}", tone, holds)
    if answer.waiting:
        waiting = "\n".join(f"• {clean(each)}" for each in answer.waiting)
        text = f"Applied. These wait for a restart:\n\n{waiting}"
        context.shell.open(message("A restart is needed", text, context.shell.close))


def _runs(context: AppContext) -> bool:
    status = context.daemon_status()
    return status is not None and status.alive


def _not_written(context: AppContext, problem: Exception) -> None:
    if isinstance(problem, LockHeld):
        context.shell.say(f"Not applied: {problem.holder or 'another program'} is changing the file just now.", "bad")
    elif isinstance(problem, ChangedMeanwhile):
        _begin(context, lambda prepared: _judge(context, prepared))
    elif isinstance(problem, ConfigProblems):
        context.shell.open(message("Not applied", listed(list(problem.problems)), context.shell.close, width=76))
    else:
        context.failure(problem)

"""File Versions: the configuration before each change, its difference from now, and the way to restore it."""

from functools import partial

import urwid

from smtpd_classic.config import ConfigProblems
from smtpd_classic.config.editing import Version, restore, versions
from smtpd_classic.config.load import content, decoded
from tui.config.config_file import ConfigFile, read_source
from tui.config.difference import diff_between
from tui.config.reload import ReloadAnswer, ReloadOutcome, reload
from tui.shell.context import AppContext
from tui.shell.help_pane import WithHelp
from tui.shell.screen import BaseScreen, Help
from tui.widgets.buttons import ButtonRow
from tui.widgets.dialog import Dialog, message
from tui.widgets.table import Column, Table
from tui.widgets.text import ago, clean, day_and_clock, size_text

__all__ = ["VersionsScreen"]

_COLUMNS = (
    Column("In force until", 20),
    Column("", 10),
    Column("Size", 6, align=urwid.Align.RIGHT),
    Column("Name", share=1, least=50),
)


class VersionsScreen(BaseScreen):
    contexts = ("versions",)

    def __init__(self, context: AppContext) -> None:
        self._context = context
        self._versions: tuple[Version, ...] = ()
        self._table = Table(_COLUMNS, lambda _: self._look(), "There was no other version yet.")
        buttons = ButtonRow([("Look", self._look), ("Restore", self._look)])
        self._pane = WithHelp(self._table, buttons, self.help)

    @property
    def widget(self) -> urwid.AbstractWidget:
        return self._pane

    def show(self) -> None:
        path = self._context.path
        self._context.run(lambda: versions(path), self._shown)

    def _shown(self, found: tuple[Version, ...]) -> None:
        self._versions = found
        now = self._context.clock()
        rows = []
        for each in found:
            at = each.at.timestamp()
            rows.append([day_and_clock(at, now), ago(at, now), size_text(each.size), clean(each.name, 200)])
        self._table.show(rows)
        self._pane.tell()

    def help(self) -> Help | None:
        text = (
            "Every Apply keeps the file as it was before. Enter shows what is different in it, and can bring it back."
        )
        return "File versions", text

    def do(self, command: str) -> bool:
        if command == "restore":
            self._look()
        return command == "restore"

    def _chosen(self) -> Version | None:
        at = self._table.position
        return self._versions[at] if 0 <= at < len(self._versions) else None

    def _look(self) -> None:
        """Show the difference that a restore would make, with a button that restores the version."""
        chosen = self._chosen()
        if chosen is None:
            return
        context, path = self._context, self._context.path

        def read() -> tuple[str, str]:
            return decoded(content(path)[0], path), decoded(content(chosen.path)[0], chosen.path)

        context.run(read, lambda texts: self._show_difference(chosen, *texts))

    def _show_difference(self, chosen: Version, now: str, then: str) -> None:
        context = self._context
        rows = diff_between(now, then, context.path)
        buttons = [("Close", context.shell.close)]
        if not context.source.read_only:
            buttons.append(("Restore this version", partial(self._restore, chosen)))
        title = f"From now to {chosen.name}"
        context.shell.open(Dialog(title, rows, buttons, context.shell.close, width=78, focus_button=0))

    def _restore(self, chosen: Version) -> None:
        context = self._context
        context.shell.close()
        if context.draft.changed():
            context.shell.say("Apply or reset the changes on the other screens first.", "warn")
            return
        context.shell.say("Bringing the version back …")

        def work() -> tuple[ConfigFile, ReloadAnswer]:
            kept = restore(context.path, chosen.name)
            source = read_source(context.path)
            answer = reload(context.runtime, context.path, source.digest)
            if answer.took is ReloadOutcome.REFUSED:
                restore(context.path, kept, even_if_refused=True)
                source = read_source(context.path)
            return source, answer

        context.run(work, lambda result: self._restored(*result), self._not_restored)

    def _restored(self, source: ConfigFile, answer: ReloadAnswer) -> None:
        self._context.take(source)
        if answer.took is ReloadOutcome.REFUSED:
            self._context.shell.say(
                f"The daemon refused it, and the file is as before: {clean(answer.text, 300)}", "bad"
            )
        else:
            self._context.shell.say(f"Restored. {answer.text}", "good" if answer.took is ReloadOutcome.YES else "warn")

    def _not_restored(self, problem: Exception) -> None:
        if isinstance(problem, ConfigProblems):
            text = "\n".join(f"• {clean(str(each), 400)}" for each in problem.problems)
            close = self._context.shell.close
            self._context.shell.open(message("Not restored", f"The server would refuse this version:\n\n{text}", close))
        else:
            self._context.failure(problem)

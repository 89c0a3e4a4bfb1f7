"""File Versions: settings, users, aliases and keys before each change, the difference from now, and the restore."""

import time
from functools import partial

import urwid

from smtpd_classic.accounts.file_versions import AccountsFile, changes_of_restore, restore_file
from smtpd_classic.config import Config, ConfigProblems
from smtpd_classic.config.editing import Version, restore
from smtpd_classic.config.load import content, decoded
from smtpd_classic.doctor.examination import key_store, stored_keys
from tui.config.config_file import ConfigFile, read_source
from tui.config.difference import diff_between
from tui.config.kept_versions import CONFIGURATION, KEYS, KeptVersion, kept_versions
from tui.config.reload import ReloadAnswer, ReloadOutcome, reload
from tui.shell.context import AppContext
from tui.shell.help_pane import WithHelp
from tui.shell.screen import BaseScreen, Help
from tui.widgets.buttons import ButtonRow, Pressed
from tui.widgets.dialog import Dialog, message, paragraphs
from tui.widgets.table import Column, Table
from tui.widgets.text import ago, clean, day_and_clock

__all__ = ["VersionsScreen"]

_COLUMNS = (
    Column("Until", 12),
    Column("", 8, least=55),
    Column("File", 8),
    Column("By", 8, least=55),
    Column("Then changed", share=1),
)


class VersionsScreen(BaseScreen):
    contexts = ("versions",)

    def __init__(self, context: AppContext) -> None:
        self._context = context
        self._versions: list[KeptVersion] = []
        self._table = Table(_COLUMNS, lambda _: self._look(), "There was no other version yet.")
        buttons = ButtonRow([("Look", self._look), ("Undo the last", partial(self.do, "undo"))])
        self._pane = WithHelp(self._table, buttons, self.help)

    @property
    def widget(self) -> urwid.AbstractWidget:
        return self._pane

    def show(self) -> None:
        context = self._context
        context.run(lambda: kept_versions(context.path, context.source.config), self._shown)

    def _shown(self, found: list[KeptVersion]) -> None:
        self._versions = found
        now = self._context.clock()
        rows = []
        for each in found:
            at = each.version.at.timestamp()
            rows.append(
                [day_and_clock(at, now), ago(at, now), each.which, clean(each.version.who, 40), clean(each.change, 300)]
            )
        self._table.show(rows)
        self._pane.show_help()

    def help(self) -> Help | None:
        chosen = self._chosen()
        text = "Every change keeps the file as it was before. Enter shows the difference, and can bring it back."
        return "File versions", text if chosen is None else clean(
            f"Then changed{_by(chosen)}: {chosen.change}. {text}", 1000
        )

    def do(self, command: str) -> bool:
        if command == "undo":
            self._table.focus_on(0)
        if command in {"restore", "undo"}:
            self._look(ready=True)
        return command in {"restore", "undo"}

    def _chosen(self) -> KeptVersion | None:
        at = self._table.position
        return self._versions[at] if 0 <= at < len(self._versions) else None

    def _look(self, *, ready: bool = False) -> None:
        """Show the difference that a restore would make; `ready`: the button that restores has the focus."""
        chosen, context, config = self._chosen(), self._context, self._context.source.config
        if chosen is None:
            return
        version = chosen.version
        if chosen.which == CONFIGURATION:
            context.run(
                lambda: (_file_text(context.path), _file_text(version.path)),
                lambda texts: self._show_difference(version, *texts, ready=ready),
            )
        elif config is not None:
            context.run(partial(_changes, config, chosen), partial(self._show_changes, config, chosen, ready=ready))

    def _show_changes(self, config: Config, chosen: KeptVersion, found: tuple[str, ...], *, ready: bool) -> None:
        """Show the changes of accounts, aliases or keys in words."""
        context = self._context
        text = "\n".join(f"• {clean(each, 300)}" for each in found) or "There is no difference."
        buttons: list[tuple[str, Pressed]] = [("Close", context.shell.close)]
        if not context.source.read_only:
            buttons.append(("Restore this version", partial(self._put_back, config, chosen)))
        title = f"From now to {chosen.version.name}"
        context.shell.open(
            Dialog(title, paragraphs(text), buttons, context.shell.close, width=78, focus_button=int(ready))
        )

    def _put_back(self, config: Config, chosen: KeptVersion) -> None:
        """Put a version of the users, the aliases or the keys back."""
        effect = "It takes effect at once." if chosen.which != KEYS else "A key signs when all name servers show it."
        self._context.shell.close()

        def done(_: None) -> None:
            self.show()
            self._context.shell.say(f"The {chosen.which} are as they were. {effect}", "good")

        self._context.run(lambda: _restore_beside(config, chosen), done)

    def _show_difference(self, chosen: Version, now: str, then: str, *, ready: bool) -> None:
        context = self._context
        rows = diff_between(now, then, context.path)
        buttons = [("Close", context.shell.close)]
        if not context.source.read_only:
            buttons.append(("Restore this version", partial(self._restore, chosen)))
        title = f"From now to {chosen.name}"
        context.shell.open(Dialog(title, rows, buttons, context.shell.close, width=78, focus_button=int(ready)))

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
        self.show()
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


def _file_text(path: str) -> str:
    return decoded(content(path)[0], path)


def _changes(config: Config, chosen: KeptVersion) -> tuple[str, ...]:
    """Return the changes that a restore of accounts, aliases or keys would make."""
    if chosen.which == KEYS:
        return stored_keys(config).changes_of_restore(chosen.domain, chosen.version.name)
    return changes_of_restore(config, _accounts_file(chosen), chosen.version.name)


def _restore_beside(config: Config, chosen: KeptVersion) -> None:
    """Restore a file beside the configuration."""
    if chosen.which == KEYS:
        key_store(config).restore(chosen.domain, chosen.version.name, time.time())
    else:
        restore_file(config, _accounts_file(chosen), chosen.version.name)


def _accounts_file(chosen: KeptVersion) -> AccountsFile:
    return "users" if chosen.which == "users" else "aliases"


def _by(kept: KeptVersion) -> str:
    return f" by {kept.version.who}" if kept.version.who else ""

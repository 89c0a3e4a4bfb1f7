"""Undo of the last edit of the accounts or of the aliases; it shows the changes, and asks."""

from collections.abc import Callable

from smtpd_classic.accounts.file_versions import AccountsFile, changes_of_restore, file_versions, restore_file
from smtpd_classic.config import Config
from smtpd_classic.config.versions import Version
from tui.shell.context import AppContext
from tui.widgets.dialog import ask
from tui.widgets.text import clean, day_and_clock

__all__ = ["undo"]

_SHOWN = 12


def undo(context: AppContext, which: AccountsFile, done: Callable[[], None]) -> None:
    """Offer to put the latest version of the file back, and call `done` afterwards."""
    config = context.source.config
    if config is not None and context.may_edit():
        context.run(lambda: _last(config, which), lambda found: _offer(context, config, which, found, done))


def _last(config: Config, which: AccountsFile) -> tuple[Version, tuple[str, ...]] | None:
    kept = file_versions(config, which)
    return (kept[0], changes_of_restore(config, which, kept[0].name)) if kept else None


def _offer(
    context: AppContext,
    config: Config,
    which: AccountsFile,
    found: tuple[Version, tuple[str, ...]] | None,
    done: Callable[[], None],
) -> None:
    if found is None:
        context.shell.say(f"There is no earlier version of the {which} file yet.", "warn")
        return
    version, changes = found

    def restored(_: None) -> None:
        done()
        context.shell.say("The file is as before. Undo once more brings the change back.", "good")

    def confirmed() -> None:
        context.shell.close()
        context.run(lambda: restore_file(config, which, version.name), restored)

    more = [f"and {len(changes) - _SHOWN} more"] if len(changes) > _SHOWN else []
    lines = [f"• {clean(each, 300)}" for each in (*changes[:_SHOWN], *more)] or [
        "• only comments or the order of lines"
    ]
    at = day_and_clock(version.at.timestamp(), context.clock())
    text = f"The {which} file as it was until {at}:\n\n" + "\n".join(lines)
    answers = [("Keep", context.shell.close), ("Undo", confirmed)]
    context.shell.open(ask("Undo the last change?", text, answers, context.shell.close))

"""Aliases: addresses that stand for others. Every change takes effect at once, without Apply."""

from collections.abc import Callable

import urwid

from smtpd_classic.accounts import delete_alias, list_aliases, set_alias
from smtpd_classic.config import Config
from smtpd_classic.config.kinds import TEXT, split_items
from tui.accounts.undo import undo
from tui.shell.context import AppContext
from tui.shell.fields_dialog import FieldsDialog, Values, entry
from tui.shell.help_pane import WithHelp
from tui.shell.screen import BaseScreen, Help
from tui.widgets.buttons import ButtonRow
from tui.widgets.dialog import ask
from tui.widgets.table import Column, Table
from tui.widgets.text import clean

__all__ = ["AliasesScreen"]

_COLUMNS = (Column("Alias", share=2), Column("Stands for", share=3))
_NAME = entry("name", TEXT, "Alias", "user@domain, or user for an alias in every local domain.", required=True)
_TARGETS = entry("targets", TEXT, "Stands for", "Addresses here or elsewhere, parted by commas.", required=True)


class AliasesScreen(BaseScreen):
    contexts = ("list", "undoable")

    def __init__(self, context: AppContext) -> None:
        self._context = context
        self._aliases: list[tuple[str, tuple[str, ...]]] = []
        self._table = Table(_COLUMNS, lambda _: self._edit(), "No alias. Press a, Insert or [Add].")
        buttons = ButtonRow([("Add", self._add), ("Edit", self._edit), ("Delete", self._delete), ("Undo", self._undo)])
        self._pane = WithHelp(self._table, buttons, self.help)

    @property
    def widget(self) -> urwid.AbstractWidget:
        return self._pane

    def show(self) -> None:
        config = self._context.source.config
        if config is None:
            self._table.show([])
            self._context.shell.say("Aliases can be shown when the configuration is right.", "warn")
            return
        self._context.run(lambda: list(list_aliases(config)), self._shown)

    def _shown(self, aliases: list[tuple[str, tuple[str, ...]]]) -> None:
        self._aliases = aliases
        self._table.show([[clean(name, 254), clean(", ".join(targets), 500)] for name, targets in aliases])
        self._pane.show_help()

    def help(self) -> Help | None:
        found = self._alias()
        if found is None:
            return (
                "Aliases",
                "An alias stands for other addresses, here or elsewhere. No mail runs a program here.",
            )
        return clean(found[0]), clean("Stands for " + ", ".join(found[1]))

    def do(self, command: str) -> bool:
        actions = {"add": self._add, "edit": self._edit, "delete": self._delete, "undo": self._undo}
        if command in actions:
            actions[command]()
        return command in actions

    def _alias(self) -> tuple[str, tuple[str, ...]] | None:
        at = self._table.position
        return self._aliases[at] if 0 <= at < len(self._aliases) else None

    def _add(self) -> None:
        config = self._context.source.config
        if config is None or not self._context.may_edit():
            return

        def work(values: Values) -> str:
            set_alias(config, values["name"], split_items(values["targets"]))
            return values["name"]

        FieldsDialog(self._context, "Add an alias", [(_NAME, ""), (_TARGETS, "")], work, self._tell("Added")).open()

    def _edit(self) -> None:
        found, config = self._alias(), self._context.source.config
        if found is None or config is None or not self._context.may_edit():
            return
        name, targets = found

        def work(values: Values) -> str:
            set_alias(config, name, split_items(values["targets"]))
            return name

        FieldsDialog(
            self._context, f"Alias {name}", [(_TARGETS, ", ".join(targets))], work, self._tell("Changed")
        ).open()

    def _undo(self) -> None:
        undo(self._context, "aliases", self.show)

    def _tell(self, what: str) -> Callable[[str], None]:
        def tell(name: str) -> None:
            self.show()
            self._context.shell.say(f"{what}: {name}. It takes effect at once.", "good")

        return tell

    def _delete(self) -> None:
        found, config = self._alias(), self._context.source.config
        if found is None or config is None or not self._context.may_edit():
            return
        name = found[0]

        def really() -> None:
            self._context.shell.close()
            self._context.run(lambda: _deleted(config, name), self._tell("Deleted"))

        answers = [("Keep", self._context.shell.close), ("Delete", really)]
        self._context.shell.open(ask("Delete the alias?", f"Delete {clean(name)}?", answers, self._context.shell.close))


def _deleted(config: Config, name: str) -> str:
    delete_alias(config, name)
    return name

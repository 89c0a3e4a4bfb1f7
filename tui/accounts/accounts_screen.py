"""Accounts: the mailboxes and their logins. Every change takes effect at once, without Apply."""

from collections.abc import Callable
from functools import partial

import urwid

from smtpd_classic.accounts import Account, Forwarding, delete_account, forwarding, list_accounts, list_aliases
from smtpd_classic.accounts.directory import IN_DOVECOT
from smtpd_classic.config import Config
from smtpd_classic.config.kinds import SIZE
from smtpd_classic.config.option import Option
from tui.accounts.account_fields import AccountEdits, fields_of, new_fields, password_field
from tui.accounts.password_meter import meter
from tui.accounts.undo import undo
from tui.shell.context import AppContext
from tui.shell.fields_dialog import FieldsDialog, Values
from tui.shell.help_pane import WithHelp
from tui.shell.screen import BaseScreen, Help
from tui.widgets.buttons import ButtonRow
from tui.widgets.dialog import ask, message
from tui.widgets.table import Column, Table
from tui.widgets.text import clean

__all__ = ["AccountsScreen"]

_COLUMNS = (
    Column("Address", share=3),
    Column("Full name", share=2, least=50),
    Column("Status", 9),
    Column("Quota", 6, least=40, align=urwid.Align.RIGHT),
    Column("Aliases", share=3, least=90),
)


_ELSEWHERE = (
    "The accounts live in Dovecot, as “Accounts” on the page Server says, and are changed in its user database. "
    "“doveadm user '*'” lists them."
)


class AccountsScreen(BaseScreen):
    contexts = ("accounts", "list", "undoable")

    def __init__(self, context: AppContext) -> None:
        self._context = context
        self._accounts: list[Account] = []
        self._aliases: dict[str, list[str]] = {}  # account: all aliases that lead to it
        self._own: dict[str, list[str]] = {}  # account: aliases that lead to it alone
        self._table = Table(_COLUMNS, lambda _: self._edit(), "No account yet. Press a, Insert or [Add].")
        buttons = ButtonRow(
            [
                ("Add", self._add),
                ("Edit", self._edit),
                ("Password", self._set_password),
                ("Delete", self._delete),
                ("Undo", self._undo),
            ]
        )
        self._pane = WithHelp(self._table, buttons, self.help)

    @property
    def widget(self) -> urwid.AbstractWidget:
        return self._pane

    def show(self) -> None:
        config = self._context.source.config
        if config is None:
            self._table.show([])
            self._context.shell.say("Accounts can be shown when the configuration is right.", "warn")
            return
        if self._is_elsewhere():
            self._table.show([])
            self._pane.show_help()
            return
        self._context.run(lambda: _read(config), lambda found: self._shown(*found))

    def _is_elsewhere(self) -> bool:
        config = self._context.source.config
        return config is not None and config.server.accounts == IN_DOVECOT

    def _shown(self, accounts: list[Account], aliases: list[tuple[str, tuple[str, ...]]]) -> None:
        self._accounts = accounts
        self._aliases = {
            each.address: [name for name, to in aliases if each.address in to and name != each.address]
            for each in accounts
        }
        self._own = {each.address: [name for name, to in aliases if (each.address,) == to] for each in accounts}
        rows = [
            [
                clean(each.address, 254),
                clean(each.full_name, 100),
                each.status,
                SIZE.format(each.quota) if each.quota else "-",
                clean(", ".join(self._aliases[each.address]), 300),
            ]
            for each in accounts
        ]
        self._table.show(rows, ["row" if each.status == "normal" else "warn" for each in accounts])
        self._pane.show_help()

    def help(self) -> Help | None:
        if self._is_elsewhere():
            return "Accounts in Dovecot", _ELSEWHERE
        account = self._account()
        if account is None:
            return (
                "Accounts",
                "Mailboxes with a password. They may log in to send mail, and an IMAP server may serve them.",
            )
        aliases = ", ".join(self._aliases.get(account.address, [])) or "none"
        grants = ", ".join(account.may_send_as) or "nothing else"
        text = f"{account.full_name or 'no name'}. Aliases: {aliases}. May send as: {grants}."
        text += f" Mail in {account.mail_place}."
        return clean(account.address), clean(text)

    def do(self, command: str) -> bool:
        actions = {
            "add": self._add,
            "edit": self._edit,
            "delete": self._delete,
            "password": self._set_password,
            "undo": self._undo,
        }
        if command in actions:
            actions[command]()
        return command in actions

    def _account(self) -> Account | None:
        at = self._table.position
        return self._accounts[at] if 0 <= at < len(self._accounts) else None

    def _add(self) -> None:
        self._open_fields("Add an account", "Added", new_fields(), lambda edits, values: edits.add(values))

    def _edit(self) -> None:
        account = self._account()
        if account is None:
            return
        config = self._context.source.config
        if config is not None and self._context.may_edit():
            self._context.run(
                lambda: forwarding(config, account.address), lambda found: self._edit_fields(account, found)
            )

    def _edit_fields(self, account: Account, found: Forwarding) -> None:
        own = self._own[account.address]
        self._open_fields(
            account.address,
            "Changed",
            fields_of(account, own, found),
            lambda edits, values: edits.change(account, set(own), found, values),
        )

    def _set_password(self) -> None:
        account = self._account()
        if account is None:
            return
        title = f"Password of {account.address}"
        self._open_fields(
            title,
            "Changed",
            password_field(),
            lambda edits, values: edits.set_password(account, values),
            account.address,
        )

    def _undo(self) -> None:
        if self._is_elsewhere():
            self._context.shell.say(_ELSEWHERE, "warn")
            return
        undo(self._context, "users", self.show)

    def _open_fields(
        self,
        title: str,
        done: str,
        fields: list[tuple[Option, str]],
        work: Callable[[AccountEdits, Values], tuple[str, str]],
        address: str = "",
    ) -> None:
        config = self._context.source.config
        if self._is_elsewhere():
            self._context.shell.say(_ELSEWHERE, "warn")
            return
        if config is None or not self._context.may_edit():
            return
        edits = AccountEdits(config)
        FieldsDialog(
            self._context,
            title,
            fields,
            lambda values: work(edits, values),
            lambda found: self._tell_password(done, *found),
            note=partial(_strength, address),
        ).open()

    def _tell_password(self, what: str, address: str, made_up: str) -> None:
        self.show()
        self._context.shell.say(f"{what}: {address}. It takes effect at once.", "good")
        if made_up:
            text = f"The password of {address} is\n\n    {made_up}\n\nIt is shown only now, and kept nowhere."
            self._context.shell.open(message("Password", text, self._context.shell.close))

    def _delete(self) -> None:
        account, config = self._account(), self._context.source.config
        if account is None or config is None or not self._context.may_edit():
            return

        def really(*, force: bool) -> None:
            self._context.shell.close()
            self._context.run(
                lambda: delete_account(config, account.address, force=force),
                lambda _: self._tell_password("Deleted", account.address, ""),
            )

        text = f"Delete {account.address}? Its mail stays in {account.mail_place}."
        answers = [("Keep", self._context.shell.close), ("Delete", lambda: really(force=False))]
        self._context.shell.open(ask("Delete the account?", clean(text), answers, self._context.shell.close))


def _strength(address: str, name: str, values: Values) -> str:
    """Return the strength of the password below its field."""
    return meter(values.get(name, ""), values.get("address", address)) if name == "password" else ""


def _read(config: Config) -> tuple[list[Account], list[tuple[str, tuple[str, ...]]]]:
    return list(list_accounts(config)), list(list_aliases(config))

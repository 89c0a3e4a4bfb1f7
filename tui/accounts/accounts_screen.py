"""Accounts: the mailboxes and their logins. Every change takes effect at once, without Apply."""

from collections.abc import Callable

import urwid

from smtpd_classic.accounts import (
    STATUSES,
    Account,
    add_account,
    change_account,
    delete_account,
    delete_alias,
    generate_password,
    hash_password,
    list_accounts,
    list_aliases,
    set_alias,
)
from smtpd_classic.config import Config
from smtpd_classic.config.kinds import SECRET, SIZE, TEXT, choice, split_items
from smtpd_classic.config.option import Option
from tui.shell.context import AppContext
from tui.shell.fields_dialog import FieldsDialog, Values, entry
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
_ADDRESS = entry("address", TEXT, "Address", "user@domain, or user for one in the primary domain.", required=True)
_NAME = entry("full_name", TEXT, "Full name", "For VRFY, and for people.")
_PASSWORD = entry("password", SECRET, "Password", "Blank: a good one is made up and shown once.")
_STATUS = entry(
    "status",
    choice(*STATUSES),
    "Status",
    "normal; disabled: gets no mail and cannot log in; suspended: gets mail and cannot log in.",
)
_QUOTA = entry("quota", SIZE, "Quota", "The most that the mailbox may hold, as in 500M or 2G. 0: no limit.")
_MAY_SEND_AS = entry(
    "may_send_as",
    TEXT,
    "May send as",
    "Addresses that it may send from besides its own, parted by commas; *@domain too.",
)
_ALIASES = entry("aliases", TEXT, "Aliases", "Addresses that stand for this account alone, parted by commas.")


class AccountsScreen(BaseScreen):
    contexts = ("accounts", "list")

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
        self._context.run(lambda: _read(config), lambda found: self._shown(*found))

    def _shown(self, accounts: list[Account], aliases: list[tuple[str, tuple[str, ...]]]) -> None:
        self._accounts = accounts
        self._aliases = {each.address: [name for name, to in aliases if each.address in to] for each in accounts}
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
        self._pane.tell()

    def help(self) -> Help | None:
        account = self._account()
        if account is None:
            return (
                "Accounts",
                "Mailboxes with a password. They may log in to send mail, and an IMAP server may serve them.",
            )
        aliases = ", ".join(self._aliases.get(account.address, [])) or "none"
        grants = ", ".join(account.may_send_as) or "nothing else"
        text = f"{account.full_name or 'no name'}. Aliases: {aliases}. May send as: {grants}. Mail in {account.folder}."
        return clean(account.address), clean(text)

    def do(self, command: str) -> bool:
        actions = {"add": self._add, "edit": self._edit, "delete": self._delete, "password": self._set_password}
        if command in actions:
            actions[command]()
        return command in actions

    def _account(self) -> Account | None:
        at = self._table.position
        return self._accounts[at] if 0 <= at < len(self._accounts) else None

    def _add(self) -> None:
        fields = [(_ADDRESS, ""), (_NAME, ""), (_PASSWORD, ""), (_QUOTA, "0"), (_MAY_SEND_AS, "")]

        def work(config: Config, values: Values) -> tuple[str, str]:
            made_up = "" if values["password"] else generate_password()
            address = add_account(
                config,
                values["address"],
                hash_password(values["password"] or made_up),
                full_name=values["full_name"],
                quota=SIZE.parse(values["quota"]),
                may_send_as=split_items(values["may_send_as"]),
            )
            return address, made_up

        self._sheet("Add an account", fields, work, lambda found: self._tell_password("Added", *found))

    def _edit(self) -> None:
        account = self._account()
        if account is None:
            return
        fields = [
            (_NAME, account.full_name),
            (_STATUS, account.status),
            (_QUOTA, SIZE.format(account.quota)),
            (_MAY_SEND_AS, ", ".join(account.may_send_as)),
            (_ALIASES, ", ".join(self._own[account.address])),
        ]
        own = set(self._own[account.address])

        def work(config: Config, values: Values) -> tuple[str, str]:
            change_account(
                config,
                account.address,
                full_name=values["full_name"],
                status=values["status"],
                quota=SIZE.parse(values["quota"]),
                may_send_as=split_items(values["may_send_as"]),
            )
            wanted = set(split_items(values["aliases"]))
            for name in sorted(wanted - own):
                set_alias(config, name, [account.address])
            for name in sorted(own - wanted):
                delete_alias(config, name)
            return account.address, ""

        self._sheet(account.address, fields, work, lambda found: self._tell_password("Changed", *found))

    def _set_password(self) -> None:
        account = self._account()
        if account is None:
            return

        def work(config: Config, values: Values) -> tuple[str, str]:
            made_up = "" if values["password"] else generate_password()
            change_account(config, account.address, password=hash_password(values["password"] or made_up))
            return account.address, made_up

        title = f"Password of {account.address}"
        self._sheet(title, [(_PASSWORD, "")], work, lambda found: self._tell_password("Changed", *found))

    def _sheet(
        self,
        title: str,
        fields: list[tuple[Option, str]],
        work: Callable[[Config, Values], tuple[str, str]],
        done: Callable[[tuple[str, str]], None],
    ) -> None:
        config = self._context.source.config
        if config is not None:
            FieldsDialog(self._context, title, fields, lambda values: work(config, values), done).open()

    def _tell_password(self, what: str, address: str, made_up: str) -> None:
        self.show()
        self._context.shell.say(f"{what}: {address}. It takes effect at once.", "good")
        if made_up:
            text = f"The password of {address} is\n\n    {made_up}\n\nIt is shown only now, and kept nowhere."
            self._context.shell.open(message("Password", text, self._context.shell.close))

    def _delete(self) -> None:
        account, config = self._account(), self._context.source.config
        if account is None or config is None:
            return

        def really(*, force: bool) -> None:
            self._context.shell.close()
            self._context.run(
                lambda: delete_account(config, account.address, force=force),
                lambda _: self._tell_password("Deleted", account.address, ""),
            )

        text = f"Delete {account.address}? Its mail stays in {account.folder}."
        answers = [("Keep", self._context.shell.close), ("Delete", lambda: really(force=False))]
        self._context.shell.open(ask("Delete the account?", clean(text), answers, self._context.shell.close))


def _read(config: Config) -> tuple[list[Account], list[tuple[str, tuple[str, ...]]]]:
    return list(list_accounts(config)), list(list_aliases(config))

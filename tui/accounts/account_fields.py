"""The fields of an account in its dialogs, and the edits that they mean."""

from collections.abc import Sequence

from smtpd_classic.accounts import (
    STATUSES,
    Account,
    EditRefused,
    Forwarding,
    add_account,
    change_account,
    delete_alias,
    generate_password,
    hash_password,
    set_alias,
    set_forwarding,
    weakness,
)
from smtpd_classic.accounts.address import domain_table
from smtpd_classic.config import Config
from smtpd_classic.config.kinds import BOOLEAN, SECRET, SIZE, TEXT, choice, split_items
from smtpd_classic.config.option import Option
from tui.shell.fields_dialog import Values, entry

__all__ = ["AccountEdits", "fields_of", "new_fields", "password_field"]

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
_JUNK_FOLDER = entry(
    "junk_folder",
    TEXT,
    "Junk folder",
    "Its folder for mail that looks forged, as in .Spam; inbox: the mail is only marked. Blank: that of the server.",
)
_ALIASES = entry("aliases", TEXT, "Aliases", "Addresses that stand for this account alone, parted by commas.")
_FORWARD = entry("forward", TEXT, "Forward to", "Addresses that get its mail, parted by commas. Blank: none.")
_KEEP = entry("keep", BOOLEAN, "Keep a copy here", "The mailbox keeps a copy of each message that is forwarded.")


def new_fields() -> list[tuple[Option, str]]:
    """Return the fields of a new account."""
    return [(_ADDRESS, ""), (_NAME, ""), (_PASSWORD, ""), (_QUOTA, "0"), (_MAY_SEND_AS, "")]


def fields_of(account: Account, aliases: Sequence[str], forwarding: Forwarding) -> list[tuple[Option, str]]:
    """Return the fields of an account; `aliases` are those that lead to it alone."""
    return [
        (_NAME, account.full_name),
        (_STATUS, account.status),
        (_QUOTA, SIZE.format(account.quota)),
        (_MAY_SEND_AS, ", ".join(account.may_send_as)),
        (_ALIASES, ", ".join(aliases)),
        (_FORWARD, ", ".join(forwarding.targets)),
        (_KEEP, "yes" if forwarding.keep else "no"),
        (_JUNK_FOLDER, account.junk_folder),
    ]


def password_field() -> list[tuple[Option, str]]:
    return [(_PASSWORD, "")]


class AccountEdits:
    """The edits of one dialog. A weak password is refused once; a second OK with the same password sets it.

    Each edit returns the address, and the password if one was generated.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._weak = ""

    def add(self, values: Values) -> tuple[str, str]:
        password, generated = self._password(values, values["address"])
        address = add_account(
            self._config,
            values["address"],
            hash_password(password),
            full_name=values["full_name"],
            quota=SIZE.parse(values["quota"]),
            may_send_as=split_items(values["may_send_as"]),
        )
        return address, generated

    def set_password(self, account: Account, values: Values) -> tuple[str, str]:
        password, generated = self._password(values, account.address)
        change_account(self._config, account.address, password=hash_password(password))
        return account.address, generated

    def change(self, account: Account, own: set[str], forwarding: Forwarding, values: Values) -> tuple[str, str]:
        """Change the account, the aliases that lead to it alone (`own`), and its forwarding."""
        change_account(
            self._config,
            account.address,
            full_name=values["full_name"],
            status=values["status"],
            quota=SIZE.parse(values["quota"]),
            may_send_as=split_items(values["may_send_as"]),
            own_junk_folder=values["junk_folder"],
        )
        wanted = set(split_items(values["aliases"]))
        for name in sorted(wanted - own):
            set_alias(self._config, name, [account.address])
        for name in sorted(own - wanted):
            delete_alias(self._config, name)
        new = Forwarding(tuple(split_items(values["forward"])), values["keep"] == "yes")
        if new.targets != forwarding.targets or (new.targets and new.keep != forwarding.keep):
            set_forwarding(self._config, account.address, new.targets, keep=new.keep)
        return account.address, ""

    def _password(self, values: Values, address: str) -> tuple[str, str]:
        """Return the password and, if it was generated, the text to show. Raises EditRefused."""
        password = values["password"]
        if not password:
            generated = generate_password()
            return generated, generated
        problem = weakness(password, domain_table(self._config).canonical(address))
        if problem is not None and password != self._weak:
            self._weak = password
            raise EditRefused(f"{problem} OK once more sets it all the same.")
        return password, ""

"""The earlier versions of the users file and of the aliases file: list, compare and restore them.

Every edit keeps the file as it was before in `versions/` beside it, as an edit of the configuration does. A restore is
an edit too, so that it can be undone.
"""

from collections.abc import Mapping
from typing import Literal

from smtpd_classic.accounts.address import DomainTable, domain_table
from smtpd_classic.accounts.consequences import refuse_worse
from smtpd_classic.accounts.locked_file import EditRefused, change_file
from smtpd_classic.accounts.reading import account_lines, read_aliases, read_text, read_users
from smtpd_classic.accounts.users import UserLine, parse_line
from smtpd_classic.config.schema import Config
from smtpd_classic.config.versions import Version, versions

__all__ = ["AccountsFile", "changes_of_restore", "file_of", "file_versions", "restore_file", "undo_file"]

AccountsFile = Literal["users", "aliases"]

_FIELDS = {
    "password": "password",
    "full_name": "full name",
    "status": "status",
    "quota": "quota",
    "may_send_as": "may send as",
    "forward_only": "forwarding",
    "junk_folder": "junk folder",
}


def file_of(config: Config, which: AccountsFile) -> str:
    """Return the path of the users file or of the aliases file."""
    return config.server.users_file if which == "users" else config.server.aliases_file


def file_versions(config: Config, which: AccountsFile) -> tuple[Version, ...]:
    """Return the kept versions of the file, the latest first. Raises OSError."""
    return versions(file_of(config, which))


def changes_of_restore(config: Config, which: AccountsFile, name: str) -> tuple[str, ...]:
    """Return one sentence for each account or alias that a restore of this version would change.

    No sentence holds a password hash. Raises EditRefused or OSError.
    """
    now, then = _text(file_of(config, which)), _text(_version(config, which, name).path)
    read = _accounts if which == "users" else _aliases
    table = domain_table(config)
    return _differences(read(config, table, now), read(config, table, then))


def restore_file(config: Config, which: AccountsFile, name: str, *, force: bool = False) -> None:
    """Put a version back into force; the present file is kept as the latest version.

    Raises EditRefused if there is no such version, or if an address would lead nowhere, unless forced; or OSError.
    """
    then = _text(_version(config, which, name).path)
    table = domain_table(config)

    def change(text: str) -> str:
        if not force and which == "users":
            tables = [read_users("", each, table, config.server) for each in (text, then)]
            refuse_worse(config, table, users=(tables[0], tables[1]), warnings=False)
        elif not force:
            both = [read_aliases("", each, table) for each in (text, then)]
            refuse_worse(config, table, aliases=(both[0], both[1]), warnings=False)
        return then

    change_file(file_of(config, which), config.path, change)


def undo_file(config: Config, which: AccountsFile, *, force: bool = False) -> tuple[str, tuple[str, ...]]:
    """Take the last edit back; a second call brings it back. Return the name of the restored version, and the changes.

    Raises EditRefused if no edit is known, and as `restore_file` does.
    """
    kept = file_versions(config, which)
    if not kept:
        raise EditRefused(f"there is no earlier version of {file_of(config, which)}.")
    found = changes_of_restore(config, which, kept[0].name)
    restore_file(config, which, kept[0].name, force=force)
    return kept[0].name, found


def _version(config: Config, which: AccountsFile, name: str) -> Version:
    found = next((version for version in file_versions(config, which) if version.name == name), None)
    if found is None:
        raise EditRefused(f"there is no version {name} of {file_of(config, which)}.")
    return found


def _text(path: str) -> str:
    try:
        return read_text(path)
    except FileNotFoundError:
        return ""


def _accounts(_config: Config, table: DomainTable, text: str) -> dict[str, object]:
    found: dict[str, object] = {}
    for _, line in account_lines(text):
        try:
            user = parse_line(line)
        except ValueError:
            continue
        found.setdefault(table.canonical(user.name), user)
    return found


def _aliases(config: Config, table: DomainTable, text: str) -> dict[str, object]:
    return dict(read_aliases(file_of(config, "aliases"), text, table).targets)


def _differences(now: Mapping[str, object], then: Mapping[str, object]) -> tuple[str, ...]:
    found = [f"{name} comes back" for name in then if name not in now]
    found += [f"{name} goes" for name in now if name not in then]
    found += [f"{name}: {_difference(now[name], then[name])}" for name in now if then.get(name, now[name]) != now[name]]
    return tuple(found)


def _difference(now: object, then: object) -> str:
    if isinstance(now, UserLine) and isinstance(then, UserLine):
        fields = [label for field, label in _FIELDS.items() if getattr(now, field) != getattr(then, field)]
        return f"{', '.join(fields or ['name'])} as before"
    return f"{_targets(then)} instead of {_targets(now)}"


def _targets(value: object) -> str:
    return ", ".join(value) if isinstance(value, tuple) else str(value)

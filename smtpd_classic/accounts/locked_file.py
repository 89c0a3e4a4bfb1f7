"""Changes one of the files in one step, under its lock, so that concurrent edits do not overwrite each other."""

import os
from collections.abc import Callable
from stat import S_IMODE

from smtpd_classic.accounts.reading import NotText, read_text
from smtpd_classic.atomic_file import replace
from smtpd_classic.config.lock import LockHeld, locked
from smtpd_classic.config.versions import keep

__all__ = ["AccountsElsewhere", "EditRefused", "NotThere", "appended", "change_file"]


class EditRefused(Exception):
    """Nothing was changed; `str()` says why in one sentence. `temporary` says that it may work later."""

    def __init__(self, sentence: str, *, temporary: bool = False) -> None:
        super().__init__(sentence)
        self.temporary = temporary


class NotThere(EditRefused):
    """There is no such account or alias."""


class AccountsElsewhere(EditRefused):
    """Raised for a change of accounts that are not in the users file."""


def change_file(path: str, beside: str, change: Callable[[str], str]) -> None:
    """Replace the text of the file by the result of `change`, and keep the file as it was as a version.

    A file that is not there yet is made with the owner and the rights of `beside`, the configuration. Raises
    EditRefused or OSError.
    """
    try:
        with locked(path):
            _change(path, beside, change)
    except LockHeld as held:
        raise EditRefused(str(held), temporary=True) from None


def _change(path: str, beside: str, change: Callable[[str], str]) -> None:
    try:
        text = read_text(path)
        line_end = "\r\n" if _has_crlf(path) else "\n"
    except FileNotFoundError:
        text, line_end = "", "\n"
    except NotText as problem:
        raise EditRefused(f"{path}: {problem}") from None
    new = change(text)
    if new == text:
        return
    if os.path.exists(path):
        keep(path, _content(path))
    else:
        _make_like(path, beside)
    replace(path, new.replace("\n", line_end).encode())


def _has_crlf(path: str) -> bool:
    with open(path, "rb") as file:
        return file.readline().endswith(b"\r\n")


def _content(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def _make_like(path: str, beside: str) -> None:
    """Make an empty file that the server can read, with the owner and at most the rights of the configuration."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        like = os.stat(beside)
        if os.geteuid() == 0:
            os.fchown(descriptor, like.st_uid, like.st_gid)
        os.fchmod(descriptor, S_IMODE(like.st_mode) & 0o660 | 0o600)
    except FileNotFoundError:
        pass  # no configuration to be like: 0600
    finally:
        os.close(descriptor)


def appended(text: str, lines: str) -> str:
    """Return the text with more lines at its end, also when its last line has no end."""
    return f"{text}\n{lines}\n" if text and not text.endswith("\n") else f"{text}{lines}\n"

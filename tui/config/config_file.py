"""The configuration file on the disk: its text, its meaning, and whether it may be written."""

import hashlib
import os
import pwd
from typing import NamedTuple

from smtpd_classic.config import Config, ConfigProblems, Problem, check, parse
from smtpd_classic.config.load import decoded

__all__ = ["ConfigFile", "checked", "digest_on_disk", "read_source"]


class ConfigFile(NamedTuple):
    """The file as read. `config` is None if it cannot be used; `read_only` is the reason why it cannot be written."""

    path: str
    text: str = ""
    digest: str = ""
    config: Config | None = None
    problems: tuple[Problem, ...] = ()
    read_only: str = ""
    missing: bool = False
    unreadable: bool = False


def read_source(path: str) -> ConfigFile:
    """Read the file. A missing or unreadable file gives a result too; this function never raises."""
    reason = _why_read_only(path)
    try:
        with open(path, "rb") as file:
            data = file.read()
    except FileNotFoundError:
        return ConfigFile(path, missing=True, read_only=reason)
    except OSError as problem:
        said = Problem(path, 0, f"cannot be read: {problem.strerror}.")
        return ConfigFile(path, problems=(said,), read_only=f"{_who()} cannot read {path}", unreadable=True)
    digest = hashlib.sha256(data).hexdigest()
    try:
        text = decoded(data, path)
    except ConfigProblems as problems:
        # Writing it back would change the bytes that could not be decoded.
        return ConfigFile(path, "", digest, None, problems.problems, f"{path} is not written in UTF-8")
    config, found = checked(text, path)
    return ConfigFile(path, text, digest, config, found, reason)


def checked(text: str, path: str) -> tuple[Config | None, tuple[Problem, ...]]:
    """Parse and check the text as the daemon does; return the configuration, or None, and its errors and warnings."""
    try:
        config = parse(text, path)
    except ConfigProblems as problems:
        return None, problems.problems
    found = tuple(check(config))
    return (None if any(each.is_error for each in found) else config), found


def digest_on_disk(path: str) -> str:
    """Return the digest of the file on the disk; blank if it cannot be read."""
    try:
        with open(path, "rb") as file:
            return hashlib.sha256(file.read()).hexdigest()
    except OSError:
        return ""


def _why_read_only(path: str) -> str:
    folder = os.path.dirname(os.path.realpath(path))
    if not os.path.isdir(folder):
        parent = folder
        while not os.path.isdir(parent):
            parent = os.path.dirname(parent)
        return "" if _writable(parent) else f"{_who()} may not make {folder}"
    if os.path.exists(path) and not _writable(path):
        return f"{_who()} has no write permission for {path}"
    # The file is replaced, not overwritten: this needs the permission to create files in its folder.
    return "" if _writable(folder) else f"{_who()} has no write permission for {folder}"


def _writable(path: str) -> bool:
    return os.access(path, os.W_OK, effective_ids=True)


def _who() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return f"user {os.geteuid()}"

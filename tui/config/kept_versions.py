"""The kept versions of the settings, users, aliases and keys in one list, each with the change that ended it."""

from collections.abc import Iterator
from contextlib import suppress
from itertools import pairwise
from typing import NamedTuple

from smtpd_classic.accounts import EditRefused
from smtpd_classic.accounts.file_versions import AccountsFile, changes_of_restore, file_versions
from smtpd_classic.config import Config, ConfigProblems
from smtpd_classic.config.changes import Change, changes
from smtpd_classic.config.editing import Version, versions
from smtpd_classic.config.load import content, decoded
from smtpd_classic.config.schema import SECTIONS
from smtpd_classic.doctor.examination import stored_keys
from smtpd_classic.keys.store import KeysUnreadable

__all__ = ["ACCOUNT_FILES", "CONFIGURATION", "KEYS", "KeptVersion", "kept_versions"]

CONFIGURATION = "settings"
KEYS = "keys"
ACCOUNT_FILES: tuple[AccountsFile, ...] = ("users", "aliases")
_SHOWN = 2


class KeptVersion(NamedTuple):
    """One version. `which` is the file; `change` is the next one in a line; keys are those of a `domain`."""

    which: str
    version: Version
    change: str
    domain: str = ""


def kept_versions(path: str, config: Config | None) -> list[KeptVersion]:
    """Return all versions, the latest first. Raises OSError."""
    found = list(_of_settings(path))
    if config is not None:
        for which in ACCOUNT_FILES:
            kept = file_versions(config, which)
            found += [KeptVersion(which, version, _accounts_line(config, which, version)) for version in kept]
        with suppress(KeysUnreadable, PermissionError):  # the keys are the service user's alone
            found += _of_keys(config)
    return sorted(found, key=lambda each: each.version.at, reverse=True)


def _of_settings(path: str) -> Iterator[KeptVersion]:
    kept = versions(path)
    texts = [_text(path), *(_text(version.path) for version in kept)]
    for version, (after, before) in zip(kept, pairwise(texts), strict=True):
        found = changes(before, after)
        words = [_words(each) for each in found[:_SHOWN]]
        more = [f"and {len(found) - _SHOWN} more"] if len(found) > _SHOWN else []
        yield KeptVersion(CONFIGURATION, version, "; ".join([*words, *more]) or "comments or order alone")


def _of_keys(config: Config) -> Iterator[KeptVersion]:
    store = stored_keys(config)
    for domain in store.domains():
        for version in store.versions(domain):
            found = store.changes_of_restore(domain, version.name)
            yield KeptVersion(KEYS, version, f"{domain}: {_line(found)}", domain)


def _text(path: str) -> str:
    try:
        return decoded(content(path)[0], path)
    except ConfigProblems:
        return ""


def _words(change: Change) -> str:
    """Return a change in a few words, with the label of the option."""
    if not change.option:
        return f"+ {change.title}" if change.new and not change.old else f"changed {change.title}"
    word, _, name = change.title.partition(" ")
    label = next(
        (
            option.label
            for section in SECTIONS
            if section.word == word and section.is_table == bool(name)
            for option in section.options()
            if option.name == change.option
        ),
        change.option,
    )
    old, new = (" ".join(text.split()) or "blank" for text in (change.old, change.new))
    return f"{name + ': ' if name else ''}{label}: {old} → {new}"


def _accounts_line(config: Config, which: AccountsFile, version: Version) -> str:
    try:
        found = changes_of_restore(config, which, version.name)
    except (EditRefused, OSError) as problem:
        return str(problem)
    return _line(found)


def _line(found: tuple[str, ...]) -> str:
    """Return the changes of a restore in a few words."""
    more = f" and {len(found) - 1} more" if len(found) > 1 else ""
    return f"back: {found[0].rstrip('.')}{more}" if found else "the same as now"

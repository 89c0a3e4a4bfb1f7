"""Edits of the configuration file, local until they are applied.

Who applies holds a lock; a file that another program changed meanwhile is never overwritten; the version that was in
force is kept; a text that the daemon would refuse is never written. Comments and order stay as they are.
"""

import errno
import os
import re

from smtpd_classic import atomic_file
from smtpd_classic.config import edits
from smtpd_classic.config.changes import Change, changes, masked_diff
from smtpd_classic.config.check import check
from smtpd_classic.config.document import Document, OptionLine, SectionText, scan
from smtpd_classic.config.load import content, decoded, loose_permissions, parse
from smtpd_classic.config.lock import LockHeld, locked
from smtpd_classic.config.option import Option
from smtpd_classic.config.problem import ConfigProblems, Problem
from smtpd_classic.config.restart import restart_reasons
from smtpd_classic.config.titles import clean_or_raw, clean_title, is_table, titled_option, titled_section
from smtpd_classic.config.versions import Version, keep, versions

__all__ = ["Change", "ChangedMeanwhile", "Edited", "LockHeld", "Version", "create", "restore", "start_over", "versions"]


class ChangedMeanwhile(Exception):
    """The file on the disk is not the one that the edits began with."""

    def __init__(self, path: str) -> None:
        self.path = path
        super().__init__(f"{path} was changed by another program meanwhile; read it again before you change it.")


class Edited:
    """The text of a file while it is edited.

    A title is the text between the brackets: `basic`, `listener smtp`. A method that takes a title or an option
    raises ValueError with a sentence when there is no such thing, or when a text cannot be written. A value may be
    wrong: `problems` says so, and `apply` refuses.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Raises ConfigProblems when the file cannot be read or its form is broken."""
        self.path = os.path.abspath(path)
        self.reset()

    def reset(self) -> None:
        """Forget all edits and read the file again."""
        data, mode = content(self.path)
        text = decoded(data, self.path)
        document = scan(text)
        if document.complaints:
            raise ConfigProblems(Problem(self.path, each.line, each.text) for each in document.complaints)
        self._data, self._mode = data, mode
        self._crlf = "\r\n" in text and text.count("\n") == text.count("\r\n")
        self._before = self._now = text.replace("\r\n", "\n") if self._crlf else text
        self._scanned = ("", scan(""))

    @property
    def changed(self) -> bool:
        return self._now != self._before

    @property
    def file_text(self) -> str:
        """The whole file as edited, secrets included."""
        return self._now

    def titles(self, word: str) -> tuple[str, ...]:
        """The rows of a table in the order of the file; of any other section its title, if the file has it."""
        found = [section for section in self._document.sections if section.word == word]
        return tuple(section.title for section in found if bool(section.name) == is_table(word))

    def has(self, title: str) -> bool:
        """Whether the file has the section; without it, options have their defaults."""
        return self._written(title) is not None

    def is_set(self, title: str, name: str) -> bool:
        titled_option(title, name)
        return self._entry(title, name) is not None

    def text(self, title: str, name: str) -> str:
        """The value as written, one item a line if it has several lines, or the default."""
        default = titled_option(title, name).default_text
        entry = self._entry(title, name)
        return default if entry is None else entry.text

    def set(self, title: str, name: str, text: str) -> None:
        """Write a value, in a section that is added if need be."""
        lines = _lines(titled_option(title, name), text)
        if self._lines(title, name) == lines:
            return
        before = self._now
        if self._written(title) is None:
            self.add(title)
        order = [option.name for option in titled_section(title).options()]
        self._now = edits.set_value(self._now, self._known(title).header, name, lines, order)
        if self._lines(title, name) != lines:
            self._now = before
            raise ValueError(f"{name} cannot be written like that: a line would look like a comment or a section.")

    def unset(self, title: str, name: str) -> None:
        """Back to the default."""
        if self.is_set(title, name):
            self._now = edits.unset_value(self._now, self._known(title).header, name)

    def add(self, title: str) -> None:
        """A section without options, after the last of its kind or at the end."""
        self._must_be_new(title)
        self._now = edits.add_section(self._now, clean_title(title))

    def delete(self, title: str) -> None:
        self._now = edits.delete_section(self._now, self._known(title).title)

    def move(self, title: str, delta: int) -> None:
        """Up (negative) or down among the sections of its kind."""
        if not titled_section(title).is_table:
            raise ValueError(f"[{title}] is the only one of its kind; only rows of a table have an order.")
        self._now = edits.move_section(self._now, self._known(title).title, delta)

    def rename(self, old: str, new: str) -> None:
        written = self._known(old)
        if titled_section(old) != titled_section(new) or not titled_section(new).is_table:
            raise ValueError(f"[{old}] cannot become [{new}]: only the name of a row can change.")
        if self._written(new) != written:
            self._must_be_new(new)
        self._now = edits.rename_section(self._now, written.header, clean_title(new))

    def problems(self) -> tuple[Problem, ...]:
        """Return the errors and warnings of the daemon about the edited text."""
        try:
            config = parse(self._now, self.path)
        except ConfigProblems as found:
            return found.problems
        return (*loose_permissions(config, self._mode), *check(config))

    def restart_reasons(self) -> tuple[str, ...]:
        """Return the edits that wait for a restart; none while one of the texts is wrong."""
        try:
            return restart_reasons(parse(self._before, self.path), parse(self._now, self.path))
        except ConfigProblems:
            return ()

    def changes(self) -> tuple[Change, ...]:
        return changes(self._before, self._now)

    def diff(self) -> str:
        """A unified diff of the file, secrets masked; blank when nothing changed."""
        return masked_diff(self._before, self._now, self.path)

    def apply(self, timeout_s: float = 10) -> str | None:
        """Write the file. The answer is the name of the version that was kept, None when nothing changed.

        Raises ConfigProblems (the text is wrong), LockHeld, ChangedMeanwhile or OSError; the file is unchanged then.
        """
        errors = [problem for problem in self.problems() if problem.is_error]
        if errors:
            raise ConfigProblems(errors)
        if not self.changed:
            return None
        with locked(self.path, timeout_s):
            if content(self.path)[0] != self._data:
                raise ChangedMeanwhile(self.path)
            version = keep(self.path, self._data)
            atomic_file.replace(self.path, self._encoded())
            self.reset()
        return version

    def _encoded(self) -> bytes:
        text = self._now.replace("\n", "\r\n") if self._crlf else self._now
        mark = b"\xef\xbb\xbf" if self._data.startswith(b"\xef\xbb\xbf") else b""
        return mark + text.encode()

    @property
    def _document(self) -> Document:
        if self._scanned[0] is not self._now:  # a form asks for every option after each edit
            self._scanned = (self._now, scan(self._now))
        return self._scanned[1]

    def _written(self, title: str) -> SectionText | None:
        wanted = clean_title(title)
        return next((section for section in self._document.sections if clean_or_raw(section.title) == wanted), None)

    def _known(self, title: str) -> SectionText:
        written = self._written(title)
        if written is None:
            raise ValueError(f"the file has no section [{title}].")
        return written

    def _must_be_new(self, title: str) -> None:
        if self._written(title) is not None:
            raise ValueError(f"[{title}] is there already.")

    def _entry(self, title: str, name: str) -> OptionLine | None:
        written = self._written(title)
        return written.entry(name) if written else None

    def _lines(self, title: str, name: str) -> list[str] | None:
        entry = self._entry(title, name)
        return None if entry is None else [part.text for part in entry.parts]


def restore(path: str | os.PathLike[str], name: str, timeout_s: float = 10, *, even_if_refused: bool = False) -> str:
    """Put a kept version back into force. The answer is the name under which the present one is kept now.

    Raises ValueError (no such version), ConfigProblems (the daemon would refuse it), LockHeld or OSError.
    """
    target = os.path.abspath(path)
    with locked(target, timeout_s):
        chosen = next((version for version in versions(target) if version.name == name), None)
        if chosen is None:
            raise ValueError(f"there is no version {name}.")
        data = content(chosen.path)[0]
        config_errors = [] if even_if_refused else _errors(decoded(data, chosen.path), target)
        if config_errors:
            raise ConfigProblems(config_errors)
        return _replace(target, data)


def create(path: str | os.PathLike[str], text: str, timeout_s: float = 10) -> None:
    """Make the file. Raises FileExistsError if there is one, LockHeld or OSError; nothing is written then."""
    target = os.path.abspath(path)
    with locked(target, timeout_s):
        if os.path.lexists(target):
            raise FileExistsError(errno.EEXIST, "the file exists already; it was not changed", target)
        atomic_file.replace(target, text.encode())


def start_over(path: str | os.PathLike[str], text: str, timeout_s: float = 10) -> str:
    """Replace the whole file. Return the name of the version under which the present file is kept.

    Raises ConfigProblems (the server would refuse the text), LockHeld or OSError; the file is unchanged then.
    """
    target = os.path.abspath(path)
    with locked(target, timeout_s):
        config_errors = _errors(text, target)
        if config_errors:
            raise ConfigProblems(config_errors)
        return _replace(target, text.encode())


def _replace(target: str, data: bytes) -> str:
    """Replace a file, under its lock; return the name of the version that is kept."""
    kept = keep(target, content(target)[0])
    atomic_file.replace(target, data)
    return kept


def _errors(text: str, path: str) -> list[Problem]:
    try:
        return [problem for problem in check(parse(text, path)) if problem.is_error]
    except ConfigProblems as found:
        return list(found.problems)


def _lines(option: Option, text: str) -> list[str]:
    """The lines of a value. Raises ValueError when the file could not hold it."""
    if re.search(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]", text):
        raise ValueError(f"{option.name} cannot hold control characters.")
    if option.kind.many:
        return list(dict.fromkeys(line.strip(" \t") for line in text.split("\n") if line.strip(" \t")))
    if "\n" in text:
        raise ValueError(f"{option.name} takes one value on one line.")
    value = text.strip(" \t")
    if option.kind.mask and value != text:
        raise ValueError(f"{option.name} cannot begin or end with a blank.")
    return [value] if value else []

"""The form of the file: sections, options and the line on which each of them stands.

    [word]  or  [word NAME]      begins a section, at the left edge
    option = value               at the left edge
        more of the value        indented; for options that are lists, one item a line
    # comment   ; comment        a whole line, indented or not; behind a value these characters are part of it

Values are taken literally. A file that is accepted here means the same to ConfigUpdater, which makes the edits.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

__all__ = ["Complaint", "Document", "OptionLine", "Part", "SectionText", "scan"]

_BLANKS = " \t\r"
# CR is part of a CRLF line end, or refused as the others are.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
# [::1]:25 may be an item of a list.
_SECTION = re.compile(r"\[\s*[A-Za-z_-]+(\s[^\]]*)?\]")
_OPTION_NAME = re.compile(r"[A-Za-z0-9_.-]+")


class Part(NamedTuple):
    """One line of a value, without the blanks around it."""

    line: int
    text: str


class OptionLine(NamedTuple):
    """An option as written. `parts` are the lines of its value that are not blank; the first may be its own."""

    name: str
    line: int
    parts: tuple[Part, ...]

    @property
    def text(self) -> str:
        return "\n".join(part.text for part in self.parts)


class SectionText(NamedTuple):
    """A section as written: `header` is the text between the brackets, `name` is blank for `[word]`."""

    header: str
    word: str
    name: str
    line: int
    entries: tuple[OptionLine, ...]

    @property
    def title(self) -> str:
        return f"{self.word} {self.name}" if self.name else self.word

    def entry(self, name: str) -> OptionLine | None:
        return next((entry for entry in self.entries if entry.name == name), None)


class Complaint(NamedTuple):
    """`word` is the first one of a line that is no option; it is for comparing only, never to be shown."""

    line: int
    text: str
    word: str = ""


class Document(NamedTuple):
    sections: tuple[SectionText, ...]
    complaints: tuple[Complaint, ...]

    def section(self, title: str) -> SectionText | None:
        return next((section for section in self.sections if section.title == title), None)


@dataclass(slots=True)
class _Draft:
    """A section that is still being read; `rejected` ones too, to their end: one mistake is one sentence."""

    header: str
    word: str
    name: str
    line: int
    entries: dict[str, tuple[int, list[Part]]]
    rejected: bool = False
    current: list[Part] | None = None  # the parts that an indented line goes on with
    skipping: bool = False  # the option before was wrong; lines that go on with it are no second mistake


def scan(text: str) -> Document:
    """Read the form of a whole file. All errors of form are found at once, and the sound rest is returned."""
    complaints: list[Complaint] = []
    drafts = _Drafts([], {})
    for line, raw in _lines(text):
        said = _take(line, raw, drafts)
        if said:
            complaints.append(Complaint(line, said, _mistyped(raw.strip(_BLANKS))))
    sections = tuple(_finished(draft) for draft in drafts.all if not draft.rejected)
    return Document(sections, tuple(complaints))


def _mistyped(said: str) -> str:
    """Return the first word of a line that has not the form of an option; blank if it has."""
    name, equals, _ = said.partition("=")
    if equals and _OPTION_NAME.fullmatch(name.rstrip(_BLANKS)):
        return ""
    return re.split(r"[\s:=]", said, maxsplit=1)[0]


class _Drafts(NamedTuple):
    all: list[_Draft]
    first: dict[tuple[str, str], int]  # where a word and name stood first

    @property
    def last(self) -> _Draft | None:
        return self.all[-1] if self.all else None


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """The lines that say something, numbered from 1."""
    for line, raw in enumerate(text.removeprefix("\ufeff").split("\n"), 1):
        said = raw.strip(_BLANKS)
        if said and said[0] not in "#;":
            yield line, raw.removesuffix("\r")


def _take(line: int, raw: str, drafts: _Drafts) -> str:
    """Add one line to the lines read so far; return the error in it, or a blank text."""
    said = raw.strip(_BLANKS)
    indented = raw[0] in _BLANKS
    control = _CONTROL.search(raw)
    if control:
        _reject(line, said, drafts, indented=indented)
        return f"the control character U+{ord(control[0]):04X} is not allowed."
    if indented and _SECTION.fullmatch(said):
        _reject(line, said, drafts, indented=False)
        return "a section begins at the left edge, not with a blank."
    if indented:
        return _continue(line, said, drafts.last)
    if said[0] == "[":
        return _begin(line, said, drafts)
    if drafts.last is None:
        return "options stand in a section; a line such as [server] is missing before this one."
    return _option(line, said, drafts.last)


def _reject(line: int, said: str, drafts: _Drafts, *, indented: bool) -> None:
    """Take note of a wrong line, so that those which belong to it are not wrong too."""
    if said[0] == "[" and not indented:
        _begin(line, said, drafts)
        drafts.all[-1].rejected = True
    elif drafts.last is not None and not indented:
        drafts.last.current, drafts.last.skipping = None, True


def _continue(line: int, said: str, draft: _Draft | None) -> str:
    if draft is not None and (draft.skipping or draft.rejected):
        return ""
    if draft is None or draft.current is None:
        return "the line is indented as if it went on with the one above; write it at the left edge."
    draft.current.append(Part(line, said))
    return ""


def _begin(line: int, said: str, drafts: _Drafts) -> str:
    header = said[1:-1]
    word, *name = header.split() or [""]
    draft = _Draft(header, word, " ".join(name), line, {}, rejected=True)
    first = drafts.first.setdefault((draft.word, draft.name), line)
    drafts.all.append(draft)
    if said[-1] != "]":
        return "the section is not closed, or something stands behind its “]”; comments have lines of their own."
    if not word:
        return "the section has no name between its brackets."
    if first != line:
        return f"[{' '.join([word, *name])}] is here a second time; the first is on line {first}."
    draft.rejected = False
    return ""


def _option(line: int, said: str, draft: _Draft) -> str:
    left, equals, right = said.partition("=")
    name = left.rstrip(_BLANKS)
    draft.current, draft.skipping = None, True
    # The line itself is never repeated: it may be a password that slipped out of its place.
    if not equals:
        return "the line is neither a [section] nor option = value."
    if not _OPTION_NAME.fullmatch(name):
        return "the text before the “=” is not the name of an option."
    if draft.rejected:
        return ""
    if name in draft.entries:
        return f"{name} is here a second time; the first is on line {draft.entries[name][0]}."
    value = right.strip(_BLANKS)
    draft.current = [Part(line, value)] if value else []
    draft.entries[name] = (line, draft.current)
    draft.skipping = False
    return ""


def _finished(draft: _Draft) -> SectionText:
    entries = tuple(OptionLine(name, line, tuple(parts)) for name, (line, parts) in draft.entries.items())
    return SectionText(draft.header, draft.word, draft.name, draft.line, entries)

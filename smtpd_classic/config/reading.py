"""From the form of the file to a Config: names are looked up, values are parsed by their kinds.

One wrong line is one sentence. A sentence never repeats the value of an option that holds a secret, nor a line whose
meaning is unknown, since it may be a password that slipped out of its place.
"""

import difflib
import os
import sys
from types import MappingProxyType
from typing import Any

from smtpd_classic.config.document import Complaint, Document, OptionLine, Part, SectionText, scan
from smtpd_classic.config.kinds import OPTIONAL_PATH, PATH
from smtpd_classic.config.option import Option, Section
from smtpd_classic.config.problem import ConfigProblems, Problem
from smtpd_classic.config.schema import SECTIONS, Config, section_of

__all__ = ["did_you_mean", "read", "unknown_option", "unknown_section"]


def read(text: str, path: str, digest: str) -> Config:
    """Raises ConfigProblems."""
    reader = _ConfigReader(scan(text), path)
    config = reader.config(digest)
    if config is None:
        raise ConfigProblems(reader.problems)
    return config


def did_you_mean(word: str, known: list[str], rest: str = "") -> str:
    """“ Did you mean “x”?”, with the blank before it, or nothing."""
    close = difflib.get_close_matches(word.lower().replace("-", "_"), known, 1, 0.7)
    return f" Did you mean “{close[0]}{rest}”?" if close else ""


def unknown_section(word: str, *, named: bool) -> str:
    """Why there is no such section."""
    forms = [each for each in SECTIONS if each.word == word]
    if not forms:
        words = {each.word.replace("-", "_"): each.word for each in SECTIONS}
        close = difflib.get_close_matches(word.lower().replace("-", "_"), list(words), 1, 0.6)
        hint = f" Did you mean [{words[close[0]]}]?" if close else f" Known are {', '.join(words.values())}."
        return f"[{word}] is no section.{hint}"
    if named:
        return f"[{word}] takes no name behind it."
    return f"[{word}] needs a name behind it, as in [{word} {forms[0].name_example}]."


def unknown_option(name: str, section: Section) -> str:
    """Why there is no such option in the section."""
    known = [each.name for each in section.options()]
    homes = [each for each in SECTIONS if any(name == option.name for option in each.options())]
    hint = f" It belongs into [{homes[0].form}]." if homes else did_you_mean(name, known)
    if hint:
        return f"“{name}” is no option of [{section.form}].{hint}"
    listed = f"known are {', '.join(known)}" if len(known) <= 8 else "smtpd-classic.conf(5) lists them"
    if any(each.kind.mask for each in section.options()):  # the second line of a password, perhaps
        return f"this is no option of [{section.form}]; {listed}."
    return f"“{name}” is no option of [{section.form}]; {listed}."


class _ConfigReader:
    """One reading of one document; `problems` grows on the way."""

    def __init__(self, document: Document, path: str) -> None:
        self.problems: list[Problem] = []
        self._document = document
        self._path = path
        self._lines: dict[tuple[str, str], int] = {}
        self._values: dict[str, Any] = {}

    def config(self, digest: str) -> Config | None:
        """None when there are problems."""
        for complaint in self._document.complaints:
            self._complain(complaint.line, complaint.text + self._perhaps(complaint))
        ends = [each.line for each in self._document.sections[1:]] + [sys.maxsize]
        for written, end in zip(self._document.sections, ends, strict=False):
            self._section(written, end)
        if not self.problems:  # a section that is mistyped is not missing too
            self._absent_sections()
        if self.problems:
            return None
        return Config(path=self._path, digest=digest, lines=MappingProxyType(self._lines), **self._values)

    def _complain(self, line: int, text: str) -> None:
        self.problems.append(Problem(self._path, line, text))

    def _perhaps(self, complaint: Complaint) -> str:
        """For a line without “=”: the option that was meant, if it looks like one of its section."""
        above = [each for each in self._document.sections if each.line < complaint.line]
        section = _declared(above[-1]) if above and complaint.word else None
        return did_you_mean(complaint.word, [each.name for each in section.options()], " = …") if section else ""

    def _section(self, written: SectionText, end: int) -> None:
        section = _declared(written)
        if section is None:
            self._complain(written.line, unknown_section(written.word, named=bool(written.name)))
            return
        row: dict[str, str] = {}
        if section.name_kind:
            try:
                row["name"] = section.name_kind.parse(written.name)
            except ValueError as problem:
                self._complain(written.line, f"[{section.form}]: {problem}")
        title = " ".join([section.word, *row.values()])
        first = self._lines.setdefault((title, ""), written.line)
        if first != written.line:
            self._complain(written.line, f"[{title}] is here a second time; the first is on line {first}.")
        given = self._options(section, written, title, end)
        if self.problems:
            return
        whole = section.type(**row, **given)
        self._values[section.attribute] = (
            (*self._values.get(section.attribute, ()), whole) if section.is_table else whole
        )

    def _options(self, section: Section, written: SectionText, title: str, end: int) -> dict[str, Any]:
        known = {option.name: option for option in section.options()}
        values = self._folder_defaults(section)
        sound = not any(written.line < complaint.line < end for complaint in self._document.complaints)
        for entry in written.entries:
            option = known.get(entry.name)
            if option is None:
                self._complain(entry.line, unknown_option(entry.name, section))
                sound = False
                continue
            self._lines[title, option.name] = entry.line
            values[option.attribute] = self._value(option, entry)
        absent = [option for option in known.values() if option.required and option.attribute not in values]
        values |= {option.attribute: option.instead for option in absent if values.get(option.unless)}
        missing = [option.name for option in absent if option.attribute not in values]
        if missing and sound:  # otherwise it may be there, mistyped
            self._complain(written.line, f"[{title}] needs the option {' and '.join(missing)}.")
        return values

    def _folder_defaults(self, section: Section) -> dict[str, Any]:
        return {each.name: self._absolute(each.default) for each in section.options() if each.kind is PATH}

    def _absolute(self, name: str) -> str:
        return os.path.normpath(os.path.join(os.path.dirname(self._path), name))

    def _value(self, option: Option, entry: OptionLine) -> Any:
        """The parsed value; anything at all when it is bad, after a complaint."""
        kind = option.kind
        if len(entry.parts) > 1 and not kind.many:
            second = entry.parts[1].line
            self._complain(second, f"this line is indented as if it went on with {option.name}, which takes one value.")
            return None
        bad = [part for part in entry.parts if not self._parses(option, part)] if len(entry.parts) > 1 else []
        if bad:
            return None
        if not entry.parts and (option.required or not _may_be_blank(option)):
            self._complain(entry.line, f"{option.name} has no value; meant is: {kind.name}, such as {kind.example}.")
            return None
        try:
            value = kind.parse(entry.text)
        except ValueError as problem:
            self._complain(entry.parts[0].line if entry.parts else entry.line, f"{option.name}: {problem}")
            return None
        return self._absolute(value) if kind is PATH or (kind is OPTIONAL_PATH and value) else value

    def _parses(self, option: Option, part: Part) -> bool:
        """Whether one item of a list is good, so that the complaint is about its own line."""
        try:
            option.kind.parse(part.text)
        except ValueError as problem:
            self._complain(part.line, f"{option.name}: {problem}")
            return False
        return True

    def _absent_sections(self) -> None:
        for section in SECTIONS:
            if section.is_table or section.attribute in self._values:
                continue
            needed = [option.name for option in section.options() if option.required]
            if needed:
                self._complain(0, f"the section [{section.word}] is missing; it needs {' and '.join(needed)}.")
            else:
                self._values[section.attribute] = section.type(**self._folder_defaults(section))


def _declared(written: SectionText) -> Section | None:
    try:
        return section_of(written.word, named=bool(written.name))
    except KeyError:
        return None


def _may_be_blank(option: Option) -> bool:
    try:
        option.kind.parse("")
    except ValueError:
        return False
    return True

"""What differs between two texts of the configuration, for a person to read; secrets are hidden."""

import difflib
import re
from collections.abc import Iterator
from typing import NamedTuple

from smtpd_classic.config.document import Document, SectionText, scan
from smtpd_classic.config.kinds import MASK
from smtpd_classic.config.option import Option
from smtpd_classic.config.schema import SECTIONS, section_of

__all__ = ["Change", "changes", "masked_diff", "masked_text"]

_CHANGED = " (changed)"


class Change(NamedTuple):
    """`option` is blank when the whole section came or went (`old` or `new` is blank then) or its order changed."""

    title: str
    option: str
    old: str
    new: str


def changes(before: str, after: str) -> tuple[Change, ...]:
    """The options whose values differ, defaults filled in, in the order of the new text."""
    old, new = scan(before), scan(after)
    return (*_sections(old, new), *_gone(old, new), *_order(old, new))


def masked_diff(before: str, after: str, name: str) -> str:
    """A unified diff of the two texts; a secret that changed is marked, and never shown."""
    old, new = masked_text(before), masked_text(after, before)
    lines = difflib.unified_diff(old.split("\n"), new.split("\n"), name, f"{name} (edited)", lineterm="")
    return "\n".join(lines)


def masked_text(text: str, before: str = "") -> str:
    """The text with its secrets hidden; one that `before` does not hold is marked as changed."""
    lines = [_masked_comment(line) for line in text.split("\n")]
    known = {part for _, _, part in _secret_parts(scan(before))}
    for number, option, part in _secret_parts(scan(text)):
        line = lines[number - 1].rstrip(" \t\r")
        mark = _CHANGED if before and part not in known else ""
        lines[number - 1] = line.removesuffix(part) + _masked(option, part) + mark
    return "\n".join(lines)


def _secret_parts(document: Document) -> Iterator[tuple[int, Option | None, str]]:
    """The line, the option (None when unknown, perhaps a mistyped password) and the text of what may be a secret."""
    for section in document.sections:
        for entry in section.entries:
            option = _option(section.word, bool(section.name), entry.name)
            for part in entry.parts if option is None or option.kind.mask else ():
                if _masked(option, part.text) != part.text:
                    yield part.line, option, part.text


def _masked(option: Option | None, text: str) -> str:
    mask = option.kind.mask if option else lambda text: MASK if text else ""
    return mask(text) if mask else text


def _masked_comment(line: str) -> str:
    """A password that somebody commented out is still one."""
    if line.strip()[:1] not in {"#", ";"}:
        return line
    return re.sub(r"(?i)((?:password|secret|token)\w*[\"']?\s*[=:]\s*)\S.*", rf"\1{MASK}", line)


def _option(word: str, named: bool, name: str) -> Option | None:
    try:
        return section_of(word, named=named).option(name)
    except KeyError:
        return None


def _sections(old: Document, new: Document) -> Iterator[Change]:
    for section in new.sections:
        former = old.section(section.title)
        if former is None:
            yield Change(section.title, "", "", f"[{section.title}]")
        names = [entry.name for entry in section.entries]
        names += [entry.name for entry in former.entries if entry.name not in names] if former else []
        for name in names:
            option = _option(section.word, bool(section.name), name)
            before, after = _value(former, option, name), _value(section, option, name)
            if before != after or (former is None and section.entry(name)):
                hidden = _masked(option, after)
                mark = _CHANGED if before != after and hidden and hidden == _masked(option, before) else ""
                yield Change(section.title, name, _masked(option, before) if former else "", hidden + mark)


def _value(section: SectionText | None, option: Option | None, name: str) -> str:
    entry = section.entry(name) if section else None
    if entry is not None:
        return entry.text
    return option.default_text if option else ""


def _gone(old: Document, new: Document) -> Iterator[Change]:
    for section in old.sections:
        if new.section(section.title) is None:
            yield Change(section.title, "", f"[{section.title}]", "")


def _order(old: Document, new: Document) -> Iterator[Change]:
    """The order of a table is its priority."""
    for word in dict.fromkeys(section.word for section in SECTIONS if section.is_table):
        before = [each.title for each in old.sections if each.word == word and new.section(each.title)]
        after = [each.title for each in new.sections if each.word == word and old.section(each.title)]
        if before != after:
            names = [", ".join(title.partition(" ")[2] for title in titles) for titles in (before, after)]
            yield Change(word, "", names[0], names[1])

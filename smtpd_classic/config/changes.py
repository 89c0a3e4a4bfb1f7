"""The differences between two texts of the configuration, for a person to read; secrets are hidden."""

import difflib
import re
from collections.abc import Iterator
from typing import NamedTuple

from smtpd_classic.config.document import Document, SectionText, scan
from smtpd_classic.config.kinds import MASK
from smtpd_classic.config.option import Option
from smtpd_classic.config.schema import SECTIONS, section_of

__all__ = ["Change", "changes", "masked_diff", "masked_text"]

_NEW = " (new)"
_OPEN_OPTIONS = {option.name for section in SECTIONS for option in section.options() if not option.kind.mask}


class Change(NamedTuple):
    """`option` is blank when the whole section came or went (`old` or `new` is blank then) or its order changed."""

    title: str
    option: str
    old: str
    new: str


def changes(before: str, after: str) -> tuple[Change, ...]:
    """Return the options with different values, defaults filled in, in the order of the new text."""
    old = {section.title: section for section in scan(before).sections}
    new = {section.title: section for section in scan(after).sections}
    options = (change for title in {**new, **old} for change in _section_changes(title, old.get(title), new.get(title)))
    return (*options, *_orders(list(old), list(new)))


def masked_diff(before: str, after: str, name: str) -> str:
    """Return a unified diff of the two texts; a changed secret is marked, and never shown."""
    old, new = masked_text(before), masked_text(after, before)
    lines = difflib.unified_diff(old.split("\n"), new.split("\n"), name, f"{name} (edited)", lineterm="")
    return "".join(f"{line}\n" for line in lines)


def masked_text(text: str, before: str = "") -> str:
    """Return the text with its secrets hidden; one that `before` does not hold is marked as changed."""
    lines = [_masked_comment(line) for line in text.split("\n")]
    known = {part for _, _, part in _secret_parts(scan(before))}
    for number, option, part in _secret_parts(scan(text)):
        line = lines[number - 1].rstrip(" \t\r")
        mark = _NEW if before and part not in known else ""
        lines[number - 1] = line.removesuffix(part) + _masked(option, part) + mark
    return "\n".join(lines)


def _secret_parts(document: Document) -> Iterator[tuple[int, Option | None, str]]:
    """Yield the line, option (None when unknown: it may be mistyped) and text of each possible secret."""
    for section in document.sections:
        for entry in section.entries:
            option = _option(section.word, bool(section.name), entry.name)
            for place, part in enumerate(entry.parts):
                # A second line below an option with one value is another option, indented by mistake.
                its = option if option is None or option.kind.many or place == 0 else None
                if _masked(its, part.text) != part.text:
                    yield part.line, its, part.text


def _masked(option: Option | None, text: str) -> str:
    mask = option.kind.mask if option else lambda text: MASK if text else ""
    return mask(text) if mask else text


def _masked_comment(line: str) -> str:
    """Hide the secret in a comment: a password that is commented out, or an unknown option that may be one."""
    if line.strip()[:1] not in {"#", ";"}:
        return line
    setting = re.fullmatch(r"(\s*[#;]\s*([\w-]+)\s*=\s*)\S.*", line)
    if setting and setting[2] not in _OPEN_OPTIONS:
        return setting[1] + MASK
    return re.sub(r"(?i)((?:password|secret|token)\w*[\"']?\s*=\s*)\S.*", rf"\1{MASK}", line)


def _option(word: str, named: bool, name: str) -> Option | None:
    try:
        return section_of(word, named=named).option(name)
    except KeyError:
        return None


def _section_changes(title: str, old: SectionText | None, new: SectionText | None) -> Iterator[Change]:
    """A section that is not a row of a table is always there, if only with its defaults."""
    is_row = " " in title
    if is_row and (old is None or new is None):
        yield Change(title, "", f"[{title}]" if old else "", f"[{title}]" if new else "")
    if is_row and new is None:
        return
    names = dict.fromkeys(entry.name for section in (new, old) if section for entry in section.entries)
    for name in names:
        option = _option(title.partition(" ")[0], is_row, name)
        was = "" if is_row and old is None else _value(old, option, name)
        now = _value(new, option, name)
        if was != now:
            shown, hidden = _masked(option, was), _masked(option, now)
            yield Change(title, name, shown, hidden + _NEW if hidden and hidden == shown else hidden)


def _value(section: SectionText | None, option: Option | None, name: str) -> str:
    entry = section.entry(name) if section else None
    if entry is not None:
        return entry.text
    return option.default_text if option else ""


def _orders(old: list[str], new: list[str]) -> Iterator[Change]:
    """The order of a table is its priority."""
    both = {*old} & {*new}
    for section in SECTIONS:
        rows = {title for title in both if section.is_table and title.startswith(f"{section.word} ")}
        before, after = ([title.partition(" ")[2] for title in titles if title in rows] for titles in (old, new))
        if before != after:
            yield Change(section.word, "", ", ".join(before), ", ".join(after))

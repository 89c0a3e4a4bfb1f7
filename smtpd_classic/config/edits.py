"""Edits of the file's text: one option or one section is changed, and every other byte stays as it was.

A text with one sound form goes in, another comes out. Options are changed by ConfigUpdater; this module keeps the
parts that it would lose: comments inside a value of several lines, and a comment right above a section, which belongs
to the section below it.
"""

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from configupdater import Comment, ConfigUpdater
from configupdater import Option as Written
from configupdater import Section as Block

from smtpd_classic.config.document import OptionLine, scan

__all__ = ["add_section", "delete_section", "move_section", "rename_section", "set_value", "unset_value"]

_INDENT = "    "
_AS_VALUE = "\t\x01"
_AS_COMMENT = "#\x01"


def set_value(text: str, header: str, name: str, lines: Sequence[str], order: Sequence[str]) -> str:
    """Give an option these lines; a new one goes where the sample, or else the `order` of the options, has it."""
    updater = _updater(text)
    block = updater[header]
    option = _find(block, name) or _placed(block, name, order)
    kept = _with_comments(_below(option), lines)
    if kept == [_INDENT + line for line in lines[:1]]:
        option.value = "".join(lines)
    else:
        option.set_values(["", *kept], indent="", prepend_newline=False)
    return _text(updater)


def unset_value(text: str, header: str, name: str) -> str:
    """Take an option away; comments inside its value stay, in its place."""
    updater = _updater(text)
    option = _find(updater[header], name)
    if option is None:
        return text
    for line in filter(_is_comment, _below(option)):
        option.add_before.comment(line, comment_prefix=line[0])
    option.detach()
    return _text(updater)


def _updater(text: str) -> ConfigUpdater:
    """ConfigUpdater does not know indented comments, and loses a value behind a comment and a blank line. Such lines go
    through it in disguise; no sound text holds the control character by which they are known again."""
    lines = text.split("\n")
    inside = {number for section in scan(text).sections for entry in section.entries for number in _between(entry)}
    for number, line in enumerate(lines, 1):
        if number in inside:
            lines[number - 1] = _AS_VALUE + line
        elif _is_comment(line) and line[0] not in "#;":
            lines[number - 1] = _AS_COMMENT + line
    return ConfigUpdater(delimiters=("=",)).read_string("\n".join(lines))


def _between(entry: OptionLine) -> set[int]:
    """The comments and blank lines among the lines of a value."""
    own = {entry.line, *(part.line for part in entry.parts)}
    return set(range(entry.line, max(own))) - own


def _text(updater: ConfigUpdater) -> str:
    return re.sub(f"^(?:{_AS_VALUE}|{_AS_COMMENT})", "", str(updater), flags=re.MULTILINE)


def _below(option: Written) -> list[str]:
    """The lines of an option behind its first, as they are in the file."""
    return [line.removeprefix(_AS_VALUE) for line in "".join(option.lines).split("\n")[1:]]


def _find(block: Block, name: str) -> Written | None:
    return next((option for option in block.iter_options() if option.raw_key == name), None)


def _is_comment(line: str) -> bool:
    return line.strip(" \t")[:1] in {"#", ";"}


def _with_comments(below: Iterable[str], lines: Sequence[str]) -> list[str]:
    """The new lines of a value, each with the comments that stood above it; those of a line that is gone move on."""
    above: dict[str, list[str]] = {}
    waiting: list[str] = []
    for line in below:
        item = line.strip()
        if _is_comment(line):
            waiting.append(line)
        elif item in lines and item not in above:
            above[item] = waiting
            waiting = []
    kept: list[str] = []
    for line in lines:
        kept += [*above.pop(line, ()), _INDENT + line]
    return kept + waiting


def _placed(block: Block, name: str, order: Sequence[str]) -> Written:
    """A new option: below its commented default, else below the option before it, else above the one after it."""
    place = order.index(name)
    before = [found for found in (_find(block, other) for other in order[:place]) if found]
    after = [found for found in (_find(block, other) for other in order[place + 1 :]) if found]
    sample = _commented_default(block, name)
    option = Written(name, "")
    if sample is not None:
        sample.add_after.option(name, "")
    elif before:
        before[-1].add_after.option(name, "")
    elif after:
        _first_comment_above(after[0]).add_before.option(name, "")
    elif block.first_block is not None:
        block.first_block.add_before.option(name, "")
    else:
        block.add_option(option)
    return _find(block, name) or option


def _commented_default(block: Block, name: str) -> Comment | None:
    """Return the comment that ends with `# name = …`; the rest of its block becomes a comment of its own."""
    pattern = re.compile(rf"[#;]\s*{re.escape(name)}\s*=")
    for comment in block.iter_blocks():
        if not isinstance(comment, Comment):
            continue
        for number, line in enumerate(comment.lines, 1):
            if pattern.match(line.removeprefix(_AS_COMMENT).strip()):
                rest = comment.lines[number:]
                del comment.lines[number:]
                if rest:
                    comment.add_after.comment("".join(rest), comment_prefix=rest[0][0])
                return comment
    return None


def _first_comment_above(option: Written) -> Written | Comment:
    first: Written | Comment = option
    while isinstance(above := first.previous_block, Comment):
        first = above
    return first


class TextChange(NamedTuple):
    """A section with the comments right above it and all lines down to the next one; `follower` is that one's title."""

    title: str
    word: str
    text: str
    follower: str


def add_section(text: str, title: str) -> str:
    """A new section without options: after the last of its kind, else at the end."""
    preamble, chunks = _chunks(text)
    word = title.partition(" ")[0]
    place = max((number for number, chunk in enumerate(chunks, 1) if chunk.word == word), default=len(chunks))
    chunks.insert(place, TextChange(title, word, f"[{title}]\n", title))
    return _joined(preamble, chunks)


def delete_section(text: str, title: str) -> str:
    """Without the section, its options, its comments and those right above it."""
    preamble, chunks = _chunks(text)
    return _joined(preamble, [chunk for chunk in chunks if chunk.title != title])


def move_section(text: str, title: str, delta: int) -> str:
    """The section changes places with others of its kind; at the first or last place nothing happens."""
    preamble, chunks = _chunks(text)
    word = title.partition(" ")[0]
    places = [number for number, chunk in enumerate(chunks) if chunk.word == word and " " in chunk.title]
    kind = [chunks[number] for number in places]
    now = next(number for number, chunk in enumerate(kind) if chunk.title == title)
    kind.insert(min(max(now + delta, 0), len(kind) - 1), kind.pop(now))
    for number, chunk in zip(places, kind, strict=True):
        chunks[number] = chunk
    return _joined(preamble, chunks)


def rename_section(text: str, header: str, title: str) -> str:
    updater = _updater(text)
    updater[header].name = title
    return _text(updater)


def _chunks(text: str) -> tuple[str, list[TextChange]]:
    """Return the text before the first section, and the sections; together they are the text again."""
    lines = re.findall(r"[^\n]*\n|[^\n]+", text)
    sections = scan(text).sections
    if not sections:
        return text, []
    starts = [sections[0].line - 1, *(_start(lines, section.line - 1) for section in sections[1:]), len(lines)]
    titles = [*(section.title for section in sections), ""]
    chunks = [
        TextChange(section.title, section.word, "".join(lines[starts[number] : starts[number + 1]]), titles[number + 1])
        for number, section in enumerate(sections)
    ]
    return "".join(lines[: starts[0]]), chunks


def _start(lines: Sequence[str], header: int) -> int:
    while lines[header - 1][:1] in {"#", ";"}:
        header -= 1
    return header


def _joined(preamble: str, chunks: Sequence[TextChange]) -> str:
    """Sections that did not follow one another before are parted by a blank line."""
    parts = [preamble if preamble.endswith("\n") or not preamble else preamble + "\n\n"]
    for number, chunk in enumerate(chunks, 1):
        follower = chunks[number].title if number < len(chunks) else ""
        whole = chunk.text
        if follower != chunk.follower:
            whole = whole.rstrip("\n") + ("\n\n" if follower else "\n")
        parts.append(whole)
    return "".join(parts)

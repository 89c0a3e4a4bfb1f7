"""The aliases file, in the form of aliases(5): `name: target, target`, lines that begin with a blank go on.

No mail runs a program here: `|command`, `/file` and `:include:` are errors. A name without a domain is an alias in
every local domain; `user@domain` is one in that domain alone.
"""

from collections.abc import Iterator
from typing import NamedTuple

from smtpd_classic.smtp.address import BadAddress, is_address, parse_address, split_address

__all__ = ["AliasLine", "checked_name", "format_alias", "parse_aliases", "parse_targets"]


class AliasLine(NamedTuple):
    """One entry as it is written: the lines from `first` up to but not including `after` (counted from 1).

    `problem` is a sentence when it cannot be used; then `targets` is empty.
    """

    first: int
    after: int
    name: str
    targets: tuple[str, ...]
    problem: str = ""


def parse_aliases(text: str) -> Iterator[AliasLine]:
    """Yield every entry in the order of the file, good or bad."""
    for first, after, content in _logical_lines(text):
        name = ""
        try:
            name, rest = _name(content)
            yield AliasLine(first, after, name, parse_targets(rest))
        except ValueError as problem:
            yield AliasLine(first, after, name, (), str(problem))


def _logical_lines(text: str) -> Iterator[tuple[int, int, str]]:
    """Comments and blank lines do not end an entry, they stand between its lines (aliases(5) of Postfix)."""
    first, after = 0, 0
    parts: list[str] = []
    for number, line in enumerate(text.split("\n"), 1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        if line[0] not in " \t" and parts:
            yield first, after, " ".join(parts)
            parts = []
        if not parts:
            first = number
        parts.append(stripped)
        after = number + 1
    if parts:
        yield first, after, " ".join(parts)


def _name(content: str) -> tuple[str, str]:
    if content.startswith('"'):
        end = _closing_quote(content, 0)
        name, rest = content[: end + 1], content[end + 1 :]
        at, colon, targets = rest.partition(":")
        name += at.strip()
    else:
        name, colon, targets = content.partition(":")
        name = name.strip()
    if not colon or not name:
        raise ValueError("this is not an alias: write name: target, target.")
    return checked_name(name), targets


def checked_name(name: str) -> str:
    """Return the name of an alias, with or without a domain. Raises ValueError with one sentence."""
    if name.startswith("@"):
        raise ValueError(f"“{name}” would be every address of a domain: set catch_all in the section of the domain.")
    return _address("name", name)


def _closing_quote(text: str, start: int) -> int:
    position = start + 1
    while position < len(text) and text[position] != '"':
        position += 2 if text[position] == "\\" else 1
    if position >= len(text):
        raise ValueError("a quotation mark is not closed.")
    return position


def parse_targets(text: str) -> tuple[str, ...]:
    """Return the targets of one entry, as written but for needless quotes. Raises ValueError with one sentence."""
    targets = tuple(dict.fromkeys(_target(item) for item in _items(text) if item))
    if not targets:
        raise ValueError("there is no target behind the colon.")
    return targets


def _items(text: str) -> Iterator[str]:
    start = position = 0
    while position < len(text):
        if text[position] == '"':
            position = _closing_quote(text, position)
        elif text[position] == ",":
            yield text[start:position].strip()
            start = position + 1
        position += 1
    yield text[start:].strip()


_FORBIDDEN = (
    ("|", "runs a program"),
    ("/", "is a file"),
    (":include:", "includes a file"),
)


def _target(item: str) -> str:
    if item.startswith('"') and item.endswith('"') and _closing_quote(item, 0) == len(item) - 1:
        bare = item[1:-1].strip()
        item = bare if bare.startswith(("|", "/", ":")) or is_address(bare) else item
    item = item.removeprefix("\\")  # sendmail: the mailbox itself; without it the target is the same here
    if item.startswith("<") and item.endswith(">"):
        item = item[1:-1].strip()
    for beginning, does in _FORBIDDEN:
        if item.lower().startswith(beginning):
            raise ValueError(f"the target “{item}” {does}; only addresses are allowed.")
    return _address("target", item)


def _address(role: str, text: str) -> str:
    """Return an address, or a local part alone, in the one spelling that `smtp.address` gives it."""
    complete = "@" in text and not text.endswith('"')
    try:
        address = parse_address(text if complete else f"{text}@name.invalid", utf8=True)
    except BadAddress as problem:
        raise ValueError(f"the {role} “{text}” is not an address: {problem}.") from None
    return address if complete else split_address(address)[0]


def format_alias(name: str, targets: tuple[str, ...]) -> str:
    """Return the lines of an entry, without the last line end."""
    line = f"{name}: " + ", ".join(targets)
    return line if len(line) <= 120 else f"{name}:\n" + ",\n".join(f"    {target}" for target in targets)

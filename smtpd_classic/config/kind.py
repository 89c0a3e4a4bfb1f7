"""Kinds of option: how the values of a kind are named, read, written, chosen and hidden.

A kind is a record of functions, not a class to inherit from. `parse` raises ValueError with one sentence about
the values that it takes; `format` returns a text that `parse` takes back. No kind knows an option by name.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

__all__ = ["MASK", "Kind", "list_of", "one_line", "split_items"]

T = TypeVar("T")
MASK = "********"


@dataclass(frozen=True, slots=True)
class Kind(Generic[T]):
    """One kind of value: how it is named, read, written and chosen.

    `name` is its name in the manual ("duration"); `example` is a value that a person could type; `choices` is empty
    unless the value is one of few; `many` marks values that are a list of items, one a line in a form; `mask` hides
    the secret in a value and is None for kinds without one.
    """

    name: str
    parse: Callable[[str], T]
    format: Callable[[T], str]
    example: str
    choices: tuple[str, ...] = ()
    many: bool = False
    mask: Callable[[str], str] | None = None


def list_of(name: str, item: Callable[[str], T], item_text: Callable[[T], str], example: str) -> Kind[tuple[T, ...]]:
    """A list of such items, one a line or parted by commas; an item that is there twice counts once."""

    def parse(text: str) -> tuple[T, ...]:
        return tuple(dict.fromkeys(item(word) for word in split_items(text)))

    def text_of(values: tuple[T, ...]) -> str:
        return ", ".join(item_text(value) for value in values)

    return Kind(name, parse, text_of, example, many=True)


def split_items(text: str, separator: str = ",") -> list[str]:
    """The items of a list: one a line, or parted by the separator."""
    return [item.strip() for line in text.splitlines() for item in line.split(separator) if item.strip()]


def one_line(text: str) -> str:
    """Return the text as it is. Raise ValueError for line ends, which must not enter a header, command or log."""
    if not text.isprintable() and any(ord(char) < 32 or 127 <= ord(char) < 160 for char in text):
        raise ValueError("control characters and line ends are not allowed here.")
    return text

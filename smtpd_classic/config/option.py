"""What an option is: a dataclass field whose metadata says how it is read, shown and explained.

A section is a frozen dataclass. Loading, checking, the manual, the sample file and the forms walk its fields, so that
an option is declared once and exists nowhere else.
"""

from collections.abc import Callable, Iterator
from dataclasses import MISSING, Field, dataclass, field, fields
from typing import Any, TypeVar, cast

from smtpd_classic.config.kinds import Kind

__all__ = ["Option", "Section", "option", "options_of", "required"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Option:
    """One option as the walkers see it. `label` is what a form writes before it, `doc` the manual's words (mdoc-free)."""

    name: str
    kind: Kind[Any]
    default: Any
    label: str
    doc: str
    required: bool
    restart: bool

    @property
    def default_text(self) -> str:
        return "" if self.required else self.kind.format(self.default)


def option(kind: Kind[T], default: T, label: str, doc: str, *, restart: bool = False) -> T:
    """Declare an option. `restart` says that a change waits for a restart of the daemon; a reload is enough otherwise."""
    return cast(
        "T",
        field(default=default, metadata={"kind": kind, "label": label, "doc": doc, "restart": restart}),
    )


def required(kind: Kind[T], label: str, doc: str, *, restart: bool = False) -> T:
    """Declare an option that has no default: a file without it is refused."""
    return field(metadata={"kind": kind, "label": label, "doc": doc, "restart": restart})


def _option(found: Field[Any]) -> Option:
    meta = found.metadata
    missing = found.default is MISSING
    default = None if missing else found.default
    return Option(found.name, meta["kind"], default, meta["label"], meta["doc"], missing, meta["restart"])


def options_of(section: type[Any]) -> Iterator[Option]:
    """The options of a section class in the order in which they are declared; the name of a table row is none."""
    return (_option(found) for found in fields(section) if "kind" in found.metadata)


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the file: `[word]`, or `[word NAME]` for each row of a table when `name_kind` is set.

    `attribute` is where a `Config` keeps it: one object, or for a table a tuple of rows in file order.
    """

    word: str
    attribute: str
    type: type[Any]
    tab: str
    doc: str
    name_kind: Kind[Any] | None = None

    @property
    def is_table(self) -> bool:
        return self.name_kind is not None

    def options(self) -> tuple[Option, ...]:
        return tuple(options_of(self.type))

    def option(self, name: str) -> Option:
        """Raises KeyError when the section has no such option."""
        found = next((each for each in self.options() if each.name == name), None)
        if found is None:
            raise KeyError(name)
        return found


Rule = Callable[[Any], Iterator[str]]

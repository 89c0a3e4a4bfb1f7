"""Options: dataclass fields with metadata that says how each is read, shown and explained.

A section is a frozen dataclass. Loading, checking, the manual, the sample file and the forms walk its fields, so that
an option is declared once and exists nowhere else.
"""

from collections.abc import Iterator
from dataclasses import MISSING, Field, dataclass, field, fields
from keyword import iskeyword
from typing import Any, TypeVar, cast

from smtpd_classic.config.kinds import Kind

__all__ = ["Option", "Section", "option", "options_of", "required"]

T = TypeVar("T")
_OPTIONS: dict[type[Any], tuple["Option", ...]] = {}  # of each section class, made once


@dataclass(frozen=True, slots=True)
class Option:
    """One option as the walkers see it. `label` stands before it in a form, `doc` is the manual's words.

    `unless` is the option that can be given in place of a required one, whose value is `instead` then.
    """

    name: str
    kind: Kind[Any]
    default: Any
    label: str
    doc: str
    required: bool
    restart: bool
    unless: str = ""
    instead: Any = None

    @property
    def attribute(self) -> str:
        """Return the name of the field; a word of Python ends with an underscore there."""
        return f"{self.name}_" if iskeyword(self.name) else self.name

    @property
    def default_text(self) -> str:
        return "" if self.required else self.kind.format(self.default)


def option(kind: Kind[T], default: T, label: str, doc: str, *, restart: bool = False) -> T:
    """Declare an option. `restart` says that a change waits for a restart of the daemon; else a reload is enough."""
    return field(default=default, repr=_may_be_shown(kind), metadata=_metadata(kind, label, doc, restart))


def required(
    kind: Kind[T], label: str, doc: str, *, restart: bool = False, unless: str = "", instead: T | None = None
) -> T:
    """Declare an option that has no default: a file without it is refused, unless it has the other one."""
    metadata = _metadata(kind, label, doc, restart) | {"unless": unless, "instead": instead}
    return cast("T", field(repr=_may_be_shown(kind), metadata=metadata))


def _may_be_shown(kind: Kind[Any]) -> bool:
    """A secret stays out of every repr; the items of a list hide their own."""
    return kind.mask is None or kind.many


def _metadata(kind: Kind[Any], label: str, doc: str, restart: bool) -> dict[str, Any]:
    return {"kind": kind, "label": label, "doc": doc, "restart": restart}


def _option(found: Field[Any]) -> Option:
    meta = found.metadata
    missing = found.default is MISSING
    default = None if missing else found.default
    return Option(
        found.name.removesuffix("_"),
        meta["kind"],
        default,
        meta["label"],
        meta["doc"],
        missing,
        meta["restart"],
        meta.get("unless", ""),
        meta.get("instead"),
    )


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

    @property
    def form(self) -> str:
        """Return the text between the brackets, for a sentence: `basic`, `listener NAME`."""
        return f"{self.word} NAME" if self.is_table else self.word

    @property
    def name_example(self) -> str:
        return self.name_kind.example if self.name_kind else ""

    def rows(self, config: Any) -> tuple[Any, ...]:
        """Return the objects of this section in a `Config`: the rows of a table, else the one object."""
        held = getattr(config, self.attribute)
        return tuple(held) if self.is_table else (held,)

    def title(self, row: Any) -> str:
        """Return the text between the brackets of this row."""
        return f"{self.word} {row.name}" if self.is_table else self.word

    def options(self) -> tuple[Option, ...]:
        found = _OPTIONS.get(self.type)
        if found is None:
            found = _OPTIONS[self.type] = tuple(options_of(self.type))
        return found

    def option(self, name: str) -> Option:
        """Raises KeyError when the section has no such option."""
        found = next((each for each in self.options() if each.name == name), None)
        if found is None:
            raise KeyError(name)
        return found

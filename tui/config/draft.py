"""The draft of the configuration: the values of the file as last read, and the edited values on the screen.

All values are text, as in the file, so that a wrong value can be shown and corrected. Only differences are written:
an option that is not in the file stays out of it until its value differs from the default.
"""

from dataclasses import dataclass, field

from smtpd_classic.config.document import SectionText, scan
from smtpd_classic.config.kinds import Kind
from smtpd_classic.config.option import Option, Section
from smtpd_classic.config.schema import SECTIONS

__all__ = ["ConfigDraft", "Row", "file_text", "shown_text"]


_SECTIONS = {section.attribute: section for section in SECTIONS}


def shown_text(kind: Kind[object], text: str) -> str:
    """Return the value in its usual form, or as it stands in the file if it cannot be parsed."""
    try:
        return kind.format(kind.parse(text))
    except ValueError:
        return text if kind.mask else text.replace("\n", ", ")


def file_text(kind: Kind[object], text: str) -> str:
    """Return the value as Apply writes it: without surrounding blanks; a value with a mask stays as typed."""
    return shown_text(kind, text) if kind.mask is None else text


@dataclass(slots=True)
class Row:
    """One section of the file. `name` is blank unless it is a row of a table; `origin` is the name in the file."""

    section: Section
    name: str = ""
    origin: str = ""
    values: dict[str, str] = field(default_factory=dict)

    def text(self, option: Option) -> str:
        return self.values.get(option.name, option.default_text)

    def set(self, option: Option, text: str) -> None:
        self.values[option.name] = text

    def copy(self) -> "Row":
        return Row(self.section, self.name, self.origin, dict(self.values))

    def differs(self, other: "Row") -> bool:
        return self.name != other.name or (self.values != other.values and bool(self.changed_options(other)))

    def changed_options(self, base: "Row") -> list[Option]:
        return [each for each in self.section.options() if self.text(each) != base.text(each)]


class ConfigDraft:
    """The draft. Screens change the list `table(attribute)` in place; `single(attribute)` is a section's only row."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._base = _read(text)
        self._now = {attribute: [row.copy() for row in rows] for attribute, rows in self._base.items()}

    @staticmethod
    def section(attribute: str) -> Section:
        """Return the section that a `Config` keeps under `attribute`. Raises KeyError."""
        return _SECTIONS[attribute]

    def single(self, attribute: str) -> Row:
        """Return the only row of a section that is no table."""
        return self._now[attribute][0]

    def table(self, attribute: str) -> list[Row]:
        return self._now[attribute]

    def base(self, attribute: str) -> list[Row]:
        """Return the rows as last read from the file; the caller must not change them."""
        return self._base[attribute]

    def changed(self, *attributes: str) -> bool:
        """Return True if any of these sections (without arguments: any section) differs from the file."""
        return any(self._changed(attribute) for attribute in attributes or self._base)

    def rows(self) -> dict[str, list[Row]]:
        """Return a copy of the edited rows of all sections."""
        return {attribute: [row.copy() for row in rows] for attribute, rows in self._now.items()}

    def option_changed(self, row: Row, option: Option) -> bool:
        base = self.base_row(row)
        return base is None or row.text(option) != base.text(option)

    def base_row(self, row: Row) -> Row | None:
        """Return the row as it is in the file, or None for a new row."""
        rows = self._base[row.section.attribute]
        return next((each for each in rows if each.origin == row.origin), None) if _is_old(row) else None

    def reset(self, *attributes: str) -> None:
        """Discard the edits of these sections (without arguments: of all sections)."""
        for attribute in attributes or self._base:
            self._now[attribute][:] = [row.copy() for row in self._base[attribute]]

    def rebase(self, text: str) -> "ConfigDraft":
        """Return a draft with the same edits on a new text of the file, which another program has written meanwhile."""
        fresh = ConfigDraft(text)
        for attribute in self._base:
            if self._changed(attribute):
                _replay(self, fresh, attribute)
        return fresh

    def _changed(self, attribute: str) -> bool:
        base, now = self._base[attribute], self._now[attribute]
        if len(base) != len(now):
            return True
        return any(old.origin != new.origin or new.differs(old) for old, new in zip(base, now, strict=True))


def _is_old(row: Row) -> bool:
    return bool(row.origin) or not row.section.is_table


def _read(text: str) -> dict[str, list[Row]]:
    found = scan(text).sections
    return {section.attribute: _rows(section, found) for section in SECTIONS}


def _rows(section: Section, found: tuple[SectionText, ...]) -> list[Row]:
    if section.is_table:
        return [_row(section, each) for each in found if each.word == section.word and each.name]
    same = next((each for each in found if each.word == section.word and not each.name), None)
    return [_row(section, same) if same else Row(section)]


def _row(section: Section, found: SectionText) -> Row:
    kinds = {option.name: option.kind for option in section.options()}
    values = {each.name: shown_text(kinds[each.name], each.text) for each in found.entries if each.name in kinds}
    return Row(section, found.name, found.name, values)


def _replay(mine: ConfigDraft, fresh: ConfigDraft, attribute: str) -> None:
    theirs = {row.origin: row for row in fresh.table(attribute)}
    kept: list[Row] = []
    for row in mine.table(attribute):
        base = mine.base_row(row)
        same = theirs.pop(row.origin, None) if base is not None else None
        if base is None or same is None:
            if base is None or row.differs(base):  # new here, or changed here and deleted there
                kept.append(Row(row.section, row.name, "", dict(row.values)))
            continue
        same.name = row.name if row.name != base.name else same.name
        for option in row.changed_options(base):
            same.set(option, row.text(option))
        kept.append(same)
    deleted_here = {row.origin for row in mine.base(attribute)} - {row.origin for row in mine.table(attribute)}
    kept += [row for origin, row in theirs.items() if origin not in deleted_here]
    fresh.table(attribute)[:] = kept

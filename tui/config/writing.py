"""Write the draft into the text of the file: only differences are edited, so that comments and order stay."""

from smtpd_classic.config.editing import Edited
from smtpd_classic.config.kinds import HOSTS, split_items
from smtpd_classic.config.option import Option
from smtpd_classic.config.schema import SECTIONS
from tui.config.draft import ConfigDraft, Row

__all__ = ["write_into"]

_LONG = 3  # longer lists are written with one item per line


def write_into(draft: ConfigDraft, edited: Edited) -> None:
    """Repeat the edits of the draft on a file that has not changed since it was read. Raises ValueError."""
    for section in SECTIONS:
        if not draft.changed(section.attribute):
            continue
        if section.is_table:
            _write_table(draft, section.attribute, edited)
        else:
            row = draft.single(section.attribute)
            _write_options(edited, section.word, row, draft.base_row(row))


def _write_table(draft: ConfigDraft, attribute: str, edited: Edited) -> None:
    rows, word = draft.table(attribute), draft.section(attribute).word
    kept = {row.origin for row in rows}
    for old in draft.base(attribute):
        if old.origin not in kept:
            edited.delete(f"{word} {old.origin}")
    for row in rows:
        title = f"{word} {row.name}"
        if not row.origin:
            edited.add(title)
        elif row.origin != row.name:
            edited.rename(f"{word} {row.origin}", title)
        _write_options(edited, title, row, draft.base_row(row))
    _write_order(edited, word, [f"{word} {row.name}" for row in rows])


def _write_options(edited: Edited, title: str, row: Row, base: Row | None) -> None:
    for option in row.section.options():
        text = row.text(option)
        new = option.required if base is None else False
        if option.unless and not text.strip():
            if base is not None and base.text(option):
                edited.unset(title, option.name)
            continue
        if new or text != (base.text(option) if base is not None else option.default_text):
            edited.set(title, option.name, _as_written(option, text, edited.text(title, option.name) if base else ""))


def _as_written(option: Option, text: str, before: str) -> str:
    """Return the text to write: a list has one item per line if it had so before, or if it is long."""
    if not option.kind.many or option.kind is HOSTS:
        return text
    separator = ";" if ";" in option.kind.example else ","
    items = split_items(text, separator)
    if "\n" in before or len(items) > _LONG:
        return "\n".join(items)
    return f"{separator} ".join(items)


def _write_order(edited: Edited, word: str, wanted: list[str]) -> None:
    for place, title in enumerate(wanted):
        now = list(edited.titles(word))
        if title in now and now.index(title) != place:
            edited.move(title, place - now.index(title))

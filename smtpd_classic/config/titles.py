"""Titles as people write them, the text between the brackets: `basic`, `listener smtp`.

A wrong title raises ValueError with a sentence.
"""

from smtpd_classic.config.option import Option, Section
from smtpd_classic.config.reading import unknown_option, unknown_section
from smtpd_classic.config.schema import section_of

__all__ = ["clean_or_raw", "clean_title", "is_table", "titled_option", "titled_section"]


def titled_section(title: str) -> Section:
    word, *name = title.split()[:2] or [""]
    try:
        return section_of(word, named=bool(name))
    except KeyError:
        raise ValueError(unknown_section(word, named=bool(name))) from None


def is_table(word: str) -> bool:
    """Return True if sections of this word have names; `direct` is both, and a list shows its rows."""
    try:
        return section_of(word, named=True).is_table
    except KeyError:
        return False


def titled_option(title: str, name: str) -> Option:
    section = titled_section(title)
    try:
        return section.option(name)
    except KeyError:
        raise ValueError(unknown_option(name, section)) from None


def clean_title(title: str) -> str:
    """The title in the form in which two that mean the same are equal."""
    section = titled_section(title)
    if section.name_kind is None:
        return section.word
    return f"{section.word} {section.name_kind.parse(' '.join(title.split()[1:]))}"


def clean_or_raw(title: str) -> str:
    try:
        return clean_title(title)
    except ValueError:
        return title

"""The only place with colours: each name with its look on a dark, a light and a monochrome terminal.

The terminal keeps its own background, because its colour is unknown. Colour is never the only sign: a changed value
also has a `*`, a wrong value a sentence, and the widget in focus a cursor.
"""

from collections.abc import Mapping
from typing import NamedTuple

__all__ = ["NAMES", "PaletteEntry", "no_colour_wanted", "palette"]

# urwid's order: name, foreground, background, mono, foreground and background with 256 colours
PaletteEntry = tuple[str, str, str, str, str, str]


class Appearance(NamedTuple):
    """The look of one name: `dark` and `light` are (foreground, background) in 16 colours, then in 256."""

    dark: tuple[str, str, str, str]
    light: tuple[str, str, str, str]
    mono: str


_PLAIN = ("default", "default", "default", "default")

_LOOKS = {
    "title": Appearance(
        ("white,bold", "dark blue", "white,bold", "#058"), ("white,bold", "dark blue", "white,bold", "#06a"), "standout"
    ),
    "title good": Appearance(
        ("light green,bold", "dark blue", "#8f8,bold", "#058"), ("white", "dark blue", "#dfd", "#06a"), "standout"
    ),
    "title bad": Appearance(
        ("yellow,bold", "dark blue", "#ff6,bold", "#058"), ("yellow", "dark blue", "#ff8,bold", "#06a"), "standout,bold"
    ),
    "banner": Appearance(
        ("white,bold", "dark red", "white,bold", "#900"),
        ("white,bold", "dark red", "white,bold", "#a00"),
        "standout,bold",
    ),
    "notice": Appearance(("black", "brown", "black", "#da0"), ("black", "brown", "black", "#fc6"), "standout"),
    "menu": Appearance(_PLAIN, _PLAIN, "default"),
    "menu heading": Appearance(
        ("dark cyan", "default", "#8ac", "default"), ("dark blue", "default", "#06a", "default"), "underline"
    ),
    "menu current": Appearance(
        ("black", "light gray", "white,bold", "g30"), ("white", "dark blue", "black,bold", "g85"), "bold,underline"
    ),
    "menu focus": Appearance(
        ("black", "dark cyan", "black", "#6cf"), ("white", "dark blue", "white,bold", "#06a"), "standout"
    ),
    "label": Appearance(_PLAIN, _PLAIN, "default"),
    "changed": Appearance(
        ("yellow", "default", "#fd6", "default"), ("dark magenta", "default", "#a50", "default"), "bold"
    ),
    "field": Appearance(("white", "dark blue", "white", "g19"), ("black", "light gray", "black", "g89"), "underline"),
    "field focus": Appearance(
        ("black", "dark cyan", "black", "#6cf"), ("white", "dark blue", "black", "#8cf"), "standout"
    ),
    "disabled": Appearance(
        ("dark gray", "default", "g46", "default"), ("black", "default", "g42", "default"), "default"
    ),
    "button": Appearance(("light cyan", "default", "#8cf", "g19"), ("dark blue", "default", "#048", "g89"), "bold"),
    "button focus": Appearance(
        ("black", "dark cyan", "black", "#6cf"), ("white", "dark blue", "white,bold", "#06a"), "standout"
    ),
    "row": Appearance(_PLAIN, _PLAIN, "default"),
    "row focus": Appearance(
        ("black", "dark cyan", "black", "#6cf"), ("white", "dark blue", "white,bold", "#06a"), "standout"
    ),
    "head": Appearance(
        ("dark cyan", "default", "#8ac", "default"), ("dark blue", "default", "#06a", "default"), "underline"
    ),
    "rule": Appearance(
        ("dark gray", "default", "g39", "default"), ("dark gray", "default", "g62", "default"), "default"
    ),
    "help": Appearance(_PLAIN, _PLAIN, "default"),
    "help label": Appearance(
        ("light cyan", "default", "#8cf,bold", "default"), ("dark blue", "default", "#048,bold", "default"), "bold"
    ),
    "dim": Appearance(("dark gray", "default", "g54", "default"), ("black", "default", "g42", "default"), "default"),
    "good": Appearance(
        ("light green", "default", "#6d6", "default"), ("dark blue", "default", "#060", "default"), "default"
    ),
    "warn": Appearance(
        ("yellow", "default", "#fd6", "default"), ("dark magenta", "default", "#a50", "default"), "bold"
    ),
    "bad": Appearance(
        ("light red", "default", "#f77,bold", "default"), ("dark red", "default", "#b00,bold", "default"), "bold"
    ),
    "dialog": Appearance(
        ("light cyan", "default", "#6cf", "default"), ("dark blue", "default", "#06a", "default"), "default"
    ),
    "dialog title": Appearance(
        ("white,bold", "default", "white,bold", "default"), ("black,bold", "default", "black,bold", "default"), "bold"
    ),
    "key": Appearance(
        ("black", "dark cyan", "black", "#6ac"), ("white", "dark blue", "white,bold", "#06a"), "standout"
    ),
    "key name": Appearance(_PLAIN, _PLAIN, "bold"),
    "graph": Appearance(_PLAIN, _PLAIN, "default"),
    "graph in": Appearance(
        ("light green", "default", "#6d6", "default"), ("dark blue", "default", "#080", "default"), "default"
    ),
    "graph out": Appearance(
        ("light blue", "default", "#6af", "default"), ("black", "default", "#04c", "default"), "default"
    ),
    "graph deferred": Appearance(
        ("yellow", "default", "#fd6", "default"), ("dark magenta", "default", "#a60", "default"), "default"
    ),
    "graph rejected": Appearance(
        ("light red", "default", "#f66", "default"), ("dark red", "default", "#c00", "default"), "default"
    ),
    "removed": Appearance(
        ("light red", "default", "#f77", "default"), ("dark red", "default", "#b00", "default"), "default"
    ),
    "added": Appearance(
        ("light green", "default", "#6d6", "default"), ("dark blue", "default", "#060", "default"), "bold"
    ),
}

NAMES = frozenset(_LOOKS)


def palette(*, light: bool = False) -> list[PaletteEntry]:
    """Return the palette for a dark or a light background; the screen chooses the number of colours."""
    rows = ((name, look, look.light if light else look.dark) for name, look in _LOOKS.items())
    return [(name, pair[0], pair[1], look.mono, pair[2], pair[3]) for name, look, pair in rows]


def no_colour_wanted(environ: Mapping[str, str]) -> bool:
    """Return True if NO_COLOR is set and not empty; it asks programs to use no colour (no-color.org)."""
    return bool(environ.get("NO_COLOR"))

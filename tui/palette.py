"""Colours, once: each name with its look on a dark, on a light and on a monochrome terminal.

The terminal's own background is kept, since nobody knows what it is. Colour never carries a meaning alone: what is
changed has a `*`, what is wrong a sentence, what has the focus a cursor.
"""

from collections.abc import Mapping
from typing import NamedTuple

__all__ = ["NAMES", "PaletteEntry", "no_colour_wanted", "palette"]

# name, foreground, background, mono, foreground and background with 256 colours: what urwid takes
PaletteEntry = tuple[str, str, str, str, str, str]


class Look(NamedTuple):
    """Dark and light are (foreground, background) of 16 colours, then of 256."""

    dark: tuple[str, str, str, str]
    light: tuple[str, str, str, str]
    mono: str


_PLAIN = ("default", "default", "default", "default")

_LOOKS = {
    "title": Look(
        ("white,bold", "dark blue", "white,bold", "#058"), ("white,bold", "dark blue", "white,bold", "#06a"), "standout"
    ),
    "title good": Look(
        ("light green,bold", "dark blue", "#8f8,bold", "#058"), ("white", "dark blue", "#dfd", "#06a"), "standout"
    ),
    "title bad": Look(
        ("yellow,bold", "dark blue", "#ff6,bold", "#058"), ("yellow", "dark blue", "#ff8,bold", "#06a"), "standout,bold"
    ),
    "banner": Look(
        ("white,bold", "dark red", "white,bold", "#900"),
        ("white,bold", "dark red", "white,bold", "#a00"),
        "standout,bold",
    ),
    "notice": Look(("black", "brown", "black", "#da0"), ("black", "brown", "black", "#fc6"), "standout"),
    "menu": Look(_PLAIN, _PLAIN, "default"),
    "menu heading": Look(
        ("dark cyan", "default", "#8ac", "default"), ("dark blue", "default", "#06a", "default"), "underline"
    ),
    "menu current": Look(
        ("black", "light gray", "white,bold", "g30"), ("white", "dark blue", "black,bold", "g85"), "bold,underline"
    ),
    "menu focus": Look(
        ("black", "dark cyan", "black", "#6cf"), ("white", "dark cyan", "white,bold", "#06a"), "standout"
    ),
    "label": Look(_PLAIN, _PLAIN, "default"),
    "changed": Look(("yellow", "default", "#fd6", "default"), ("brown", "default", "#a50", "default"), "bold"),
    "field": Look(("white", "dark blue", "white", "g19"), ("black", "light gray", "black", "g89"), "underline"),
    "field focus": Look(("black", "dark cyan", "black", "#6cf"), ("white", "dark cyan", "black", "#8cf"), "standout"),
    "disabled": Look(("dark gray", "default", "g46", "default"), ("dark gray", "default", "g54", "default"), "default"),
    "button": Look(("light cyan", "default", "#8cf", "g19"), ("dark blue", "default", "#048", "g89"), "bold"),
    "button focus": Look(
        ("black", "dark cyan", "black", "#6cf"), ("white", "dark cyan", "white,bold", "#06a"), "standout"
    ),
    "row": Look(_PLAIN, _PLAIN, "default"),
    "row focus": Look(
        ("black", "dark cyan", "black", "#6cf"), ("white", "dark cyan", "white,bold", "#06a"), "standout"
    ),
    "head": Look(("dark cyan", "default", "#8ac", "default"), ("dark blue", "default", "#06a", "default"), "underline"),
    "rule": Look(("dark gray", "default", "g35", "default"), ("dark gray", "default", "g70", "default"), "default"),
    "help": Look(_PLAIN, _PLAIN, "default"),
    "help label": Look(
        ("light cyan", "default", "#8cf,bold", "default"), ("dark blue", "default", "#048,bold", "default"), "bold"
    ),
    "dim": Look(("dark gray", "default", "g54", "default"), ("dark gray", "default", "g46", "default"), "default"),
    "good": Look(
        ("light green", "default", "#6d6", "default"), ("dark green", "default", "#060", "default"), "default"
    ),
    "warn": Look(("yellow", "default", "#fd6", "default"), ("brown", "default", "#a50", "default"), "bold"),
    "bad": Look(
        ("light red", "default", "#f77,bold", "default"), ("dark red", "default", "#b00,bold", "default"), "bold"
    ),
    "dialog": Look(
        ("light cyan", "default", "#6cf", "default"), ("dark blue", "default", "#06a", "default"), "default"
    ),
    "dialog title": Look(
        ("white,bold", "default", "white,bold", "default"), ("black,bold", "default", "black,bold", "default"), "bold"
    ),
    "key": Look(("black", "dark cyan", "black", "#6ac"), ("white", "dark cyan", "white,bold", "#06a"), "standout"),
    "key name": Look(_PLAIN, _PLAIN, "bold"),
    "graph": Look(_PLAIN, _PLAIN, "default"),
    "graph in": Look(
        ("light green", "default", "#6d6", "default"), ("dark green", "default", "#080", "default"), "default"
    ),
    "graph out": Look(
        ("light blue", "default", "#6af", "default"), ("dark blue", "default", "#04c", "default"), "default"
    ),
    "graph deferred": Look(
        ("yellow", "default", "#fd6", "default"), ("brown", "default", "#a60", "default"), "default"
    ),
    "graph rejected": Look(
        ("light red", "default", "#f66", "default"), ("dark red", "default", "#c00", "default"), "default"
    ),
    "removed": Look(("light red", "default", "#f77", "default"), ("dark red", "default", "#b00", "default"), "default"),
    "added": Look(("light green", "default", "#6d6", "default"), ("dark green", "default", "#060", "default"), "bold"),
}

NAMES = frozenset(_LOOKS)


def palette(*, light: bool = False) -> list[PaletteEntry]:
    """The palette for a dark or a light background; the number of colours is the screen's affair."""
    rows = ((name, look, look.light if light else look.dark) for name, look in _LOOKS.items())
    return [(name, pair[0], pair[1], look.mono, pair[2], pair[3]) for name, look, pair in rows]


def no_colour_wanted(environ: Mapping[str, str]) -> bool:
    """NO_COLOR set and not empty asks every program to be without colour (no-color.org)."""
    return bool(environ.get("NO_COLOR"))

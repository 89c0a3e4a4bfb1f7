"""Every look that is used exists, in colour and without."""

import locale
import re
from pathlib import Path

import pytest
import urwid
import urwid.testing as ut

from tests.tui.pictures import FOLDER, file_name
from tests.tui.program import Tui, made
from tui.app import _draws_lines
from tui.screens import MENU_ENTRIES
from tui.widgets.palette import NAMES, no_colour_wanted, palette

TUI = Path(__file__).parents[2] / "tui"


@pytest.mark.parametrize("light", [False, True], ids=["dark", "light"])
@pytest.mark.parametrize("colors", [1, 16, 256])
def test_every_entry_can_be_shown(light: bool, colors: int) -> None:
    entries = palette(light=light)
    assert {entry[0] for entry in entries} == NAMES
    for name in NAMES:
        assert isinstance(ut.resolve_attr(name, entries, colors=colors), urwid.AttrSpec)


@pytest.mark.parametrize("place", MENU_ENTRIES, ids=lambda place: place.title)
def test_every_look_on_a_screen_is_in_the_palette(place: object, tmp_path: Path) -> None:
    tui = Tui(made(tmp_path)).go(place.title)  # type: ignore[attr-defined]
    runs = [attr for line in ut.render_runs(tui.root, tui.size, focus=True) for attr, _ in line]
    looks = {layer for attr in runs for layer in (attr.layers if isinstance(attr, urwid.LayeredAttr) else (attr,))}
    assert looks - {None} <= NAMES


def test_every_look_named_in_the_code_is_in_the_palette() -> None:
    pattern = re.compile(r'AttrMap\([^()]*?, "([a-z ]+)"(?:, "([a-z ]+)")?\)')
    named = {
        name for path in TUI.rglob("*.py") for found in pattern.findall(path.read_text()) for name in found if name
    }
    assert named
    assert named <= NAMES


def luminance(colour: tuple[int, ...]) -> float:
    """Return the relative luminance of WCAG 2."""
    linear = [each / 3294.6 if each <= 10 else ((each / 255 + 0.055) / 1.055) ** 2.4 for each in colour]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("colors", [16, 256])
@pytest.mark.parametrize("light", [False, True], ids=["dark", "light"])
def test_every_text_has_contrast(light: bool, colors: int) -> None:
    own = ((0, 0, 0), (255, 255, 255)) if light else ((212, 212, 212), (0, 0, 0))
    for name in NAMES:
        values = ut.resolve_attr(name, palette(light=light), colors=colors).get_rgb_values()
        front = values[:3] if values[0] is not None else own[0]
        back = values[3:] if values[3] is not None else own[1]
        darker, lighter = sorted((luminance(front), luminance(back)))  # type: ignore[arg-type]
        least = 2.5 if name == "rule" else 3 if name.startswith("graph") else 4.5  # lines, graphics, text
        assert (lighter + 0.05) / (darker + 0.05) >= least, name


def test_focus_can_be_seen_without_colour() -> None:
    entries = palette()
    for name in ("field focus", "button focus", "row focus", "menu focus"):
        assert ut.resolve_attr(name, entries, colors=1).standout


@pytest.mark.parametrize(("value", "wanted"), [("1", True), ("", False), (None, False)])
def test_no_color_is_honoured(value: str | None, wanted: bool) -> None:
    assert no_colour_wanted({} if value is None else {"NO_COLOR": value}) is wanted


@pytest.mark.parametrize(
    ("environ", "lines"),
    [
        ({}, False),
        ({"LANG": "C"}, False),
        ({"LANG": "C", "LC_CTYPE": "C.UTF-8"}, False),
        ({"LC_ALL": "POSIX", "LANG": "en_GB.UTF-8"}, False),
        ({"LANG": "en_GB.UTF-8", "TERM": "vt100"}, False),
        ({"LANG": "en_GB.UTF-8"}, True),
        ({"LC_ALL": "C.UTF-8"}, True),
    ],
)
def test_lines_are_drawn_only_where_the_locale_has_them(
    environ: dict[str, str], lines: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locale, "getpreferredencoding", lambda do_setlocale=True: "UTF-8")
    assert _draws_lines(environ) is lines


def test_the_manual_has_a_picture_of_every_screen() -> None:
    kept = {picture.stem for picture in FOLDER.glob("*.svg")}
    assert {file_name(place.title) for place in MENU_ENTRIES} <= kept, "run: python -m tests.tui.pictures"

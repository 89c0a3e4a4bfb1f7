"""What strangers wrote can be looked at without harm."""

import unicodedata

import pytest
import urwid
from hypothesis import example, given
from hypothesis import strategies as st

from tui.widgets.ascii import ascii_text
from tui.widgets.text import ago, clean, count, first_line, size_text, span

HOSTILE = [
    "\x1b[31mred\x1b[0m",
    "a\rb\nc\td",
    "\u202edrawkcab\u202c",
    "\u2066isolate\u2069",
    "zero\u200bwidth\u200djoin\ufeff",
    "\x9b31m \x90 \x9d",
    "Z" + "\u0301\u0327\u0489" * 50 + "algo",
    "wide 漢字 and 😀",
    "🐀🏻 and ☂️ and 👩‍👩‍👧",
    "\ud800 lone surrogate",
    "\ue000 private \U0010ffff",
    "\u2028line\u2029paragraph",
    "x" * 100_000,
]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_nothing_that_acts_on_a_terminal_is_left(text: str) -> None:
    assert_harmless(clean(text))


@given(st.text())
def test_no_text_at_all_acts_on_a_terminal(text: str) -> None:
    assert_harmless(clean(text))


@given(st.binary())
def test_no_octets_at_all_act_on_a_terminal(octets: bytes) -> None:
    assert_harmless(clean(octets))


def assert_harmless(shown: str) -> None:
    assert len(shown) <= 2000
    categories = [unicodedata.category(char) for char in shown]
    assert not {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"} & set(categories)
    marks = 0
    for category in categories:
        marks = marks + 1 if category.startswith("M") else 0
        assert marks <= 2
    shown.encode("utf-8")


@given(st.text(alphabet=st.characters(exclude_categories=["Cs", "Cc"])))
@example("🐀🏻")
@example("각")
def test_ascii_is_as_wide_as_what_it_stands_for(text: str) -> None:
    shown = clean(text)
    flat = ascii_text(shown)
    assert flat.isascii()
    assert urwid.calc_width(flat, 0, len(flat)) == urwid.calc_width(shown, 0, len(shown))


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0"),
        (999, "999"),
        (1000, "1.0K"),
        (10_240, "10K"),
        (1_048_576, "1.0M"),
        (26_214_400, "25M"),
        (5 << 40, "5.0T"),
    ],
)
def test_sizes_take_five_columns(size: int, text: str) -> None:
    assert size_text(size) == text


@given(st.integers(min_value=0, max_value=1 << 60))
def test_no_size_takes_more_than_five_columns(size: int) -> None:
    assert len(size_text(size)) <= 5


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (59, "59s"), (60, "1m"), (3600, "1h"), (86_400, "24h"), (172_800, "2d"), (-5, "0s")],
)
def test_spans_are_in_one_unit(seconds: float, text: str) -> None:
    assert span(seconds) == text


def test_times_are_told_from_now() -> None:
    assert (ago(0, 1000), ago(1000, 1000), ago(940, 1000), ago(1060, 1000)) == ("never", "now", "1m ago", "in 1m")
    assert count(100_000) == "100,000"
    assert first_line("\n\n  421 4.7.0\x07 busy\nmore") == "421 4.7.0\ufffd busy"

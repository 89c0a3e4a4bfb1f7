"""Edits of the text: what is edited changes, every other byte stays, comments above all."""

from collections import Counter
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smtpd_classic.config.document import scan
from smtpd_classic.config.edits import (
    _text,
    _updater,
    add_section,
    delete_section,
    move_section,
    rename_section,
    set_value,
    unset_value,
)
from smtpd_classic.config.sample import sample
from smtpd_classic.config.schema import section_of
from tests.config.texts import COMMENTED

ORDER = ["alpha", "beta", "gamma", "delta"]
COMMENTS = ["# note", "; note", "  # indented", "\t; tab", "# beta = 5", "#gamma=", "#", "    # alpha = x"]
ITEMS = ["10.0.0.0/8", "a.example", "x = y", "geheim # ; %", "[::1]:25", "é", "="]
BLANKS = ["", " ", "\t"]
TITLES = ["plain", "row a", "row b", "row  c", " other ", "row d.example <x@y.example>"]


class Dice:
    """Octets that decide: hypothesis draws them in one piece, which takes far less time than a choice for each line."""

    def __init__(self, octets: bytes) -> None:
        self._left = iter(octets)

    def number(self, most: int) -> int:
        return next(self._left, 0) % (most + 1)

    def of(self, *several: list[str]) -> str:
        """Choose one of several lists, then one of its words."""
        words = several[self.number(len(several) - 1)]
        return words[self.number(len(words) - 1)]

    def some(self, words: list[str], least: int = 0) -> list[str]:
        """Choose some of the words, in any order."""
        left = list(words)
        return [left.pop(self.number(len(left) - 1)) for _ in range(least + self.number(len(words) - least))]

    def remarks(self, most: int) -> list[str]:
        return [self.of(COMMENTS, BLANKS) for _ in range(self.number(most))]


def option(dice: Dice, name: str) -> list[str]:
    """An option with its lines: continuation lines, and comments and blank lines between them."""
    lines = [name + dice.of([" = ", "=", "  =\t", " ="]) + dice.of(ITEMS, BLANKS)]
    for _ in range(dice.number(3)):
        lines += dice.remarks(2)
        lines.append(dice.of(["  ", "    ", "\t"]) + dice.of(ITEMS))
    return lines


def text_of(octets: bytes) -> str:
    dice = Dice(octets)
    lines = dice.remarks(3)
    for title in dice.some(TITLES, 1):
        lines.append(f"[{title}]{dice.of(BLANKS)}")
        for name in dice.some(ORDER):
            lines += dice.remarks(2)
            lines += option(dice, name)
        lines += dice.remarks(2)
    return "\n".join(lines) + dice.of(["", "\n", "\n\n"])


def texts() -> st.SearchStrategy[str]:
    """Files of every sound form."""
    return st.binary(min_size=100, max_size=250).map(text_of)


def read(text: str) -> dict[str, dict[str, list[str]]]:
    """{title: {option: lines}}; a text whose form is broken fails the test."""
    document = scan(text)
    assert document.complaints == ()
    return {
        section.title: {entry.name: [part.text for part in entry.parts] for entry in section.entries}
        for section in document.sections
    }


def comments(text: str) -> Counter[str]:
    return Counter(line for line in text.split("\n") if line.strip()[:1] in {"#", ";"})


def is_subsequence(part: list[str], whole: list[str]) -> bool:
    rest: Iterator[str] = iter(whole)
    return all(line in rest for line in part)


def untouched(text: str, title: str, name: str) -> list[str]:
    """All lines but those of one option, from its first to its last; comments between move with their items."""
    section = scan(text).section(title)
    assert section is not None
    entry = section.entry(name)
    own = range(entry.line, max([entry.line, *(part.line for part in entry.parts)]) + 1) if entry else ()
    return [line for number, line in enumerate(text.split("\n"), 1) if number not in own and line.strip()]


@given(text=texts())
@settings(max_examples=80, deadline=None)
def test_configupdater_reads_the_same_form_as_the_daemon(text: str) -> None:
    updater = _updater(text)
    assert _text(updater) == text
    form = {
        " ".join(block.name.split()): [each.raw_key for each in block.iter_options()]
        for block in updater.iter_sections()
    }
    assert form == {title: list(entries) for title, entries in read(text).items()}


@given(
    text=texts(),
    name=st.sampled_from(ORDER),
    lines=st.lists(st.sampled_from(ITEMS), max_size=4, unique=True),
    data=st.data(),
)
@settings(max_examples=150, deadline=None)
def test_setting_an_option_changes_nothing_else(text: str, name: str, lines: list[str], data: st.DataObject) -> None:
    section = data.draw(st.sampled_from(scan(text).sections))
    edited = set_value(text, section.header, name, lines, ORDER)
    before, after = read(text), read(edited)
    before[section.title][name] = lines
    assert after == before
    assert comments(edited) == comments(text)
    assert is_subsequence(untouched(text, section.title, name), edited.split("\n"))


@given(text=texts(), data=st.data())
@settings(max_examples=80, deadline=None)
def test_taking_an_option_out_changes_nothing_else(text: str, data: st.DataObject) -> None:
    section = data.draw(st.sampled_from(scan(text).sections))
    name = data.draw(st.sampled_from(ORDER))
    edited = unset_value(text, section.header, name)
    before, after = read(text), read(edited)
    before[section.title].pop(name, None)
    assert after == before
    assert comments(edited) == comments(text)
    assert is_subsequence(untouched(text, section.title, name), edited.split("\n"))


@given(text=texts(), delta=st.integers(-3, 3), data=st.data())
@settings(max_examples=80, deadline=None)
def test_moving_a_section_keeps_all_lines(text: str, delta: int, data: st.DataObject) -> None:
    rows = [section.title for section in scan(text).sections if section.name]
    if not rows:
        return
    title = data.draw(st.sampled_from(rows))
    edited = move_section(text, title, delta)
    assert read(edited) == read(text)
    assert Counter(filter(str.strip, edited.split("\n"))) == Counter(filter(str.strip, text.split("\n")))
    wanted = [row for row in rows if row != title]
    wanted.insert(min(max(rows.index(title) + delta, 0), len(wanted)), title)
    assert [each for each in read(edited) if " " in each] == wanted
    if wanted == rows:
        assert edited == text


@given(text=texts(), data=st.data())
@settings(max_examples=80, deadline=None)
def test_deleting_a_section_keeps_the_others(text: str, data: st.DataObject) -> None:
    title = data.draw(st.sampled_from([section.title for section in scan(text).sections]))
    before = read(text)
    del before[title]
    edited = delete_section(text, title)
    assert read(edited) == before
    assert comments(edited) <= comments(text)


@given(text=texts())
@settings(max_examples=50, deadline=None)
def test_adding_a_section_keeps_the_others(text: str) -> None:
    edited = add_section(text, "row new")
    assert read(edited) == {**read(text), "row new": {}}
    assert comments(edited) == comments(text)
    titles = list(read(edited))
    rows = [number for number, title in enumerate(titles) if title.startswith("row")]
    assert titles.index("row new") == rows[-1]
    if len(rows) == 1:
        assert titles[-1] == "row new"


@given(text=texts(), data=st.data())
@settings(max_examples=50, deadline=None)
def test_renaming_a_section_keeps_everything_in_it(text: str, data: st.DataObject) -> None:
    section = data.draw(st.sampled_from(scan(text).sections))
    edited = rename_section(text, section.header, "row new")
    assert list(read(edited).values()) == list(read(text).values())
    assert [*read(edited)] == ["row new" if title == section.title else title for title in read(text)]
    assert comments(edited) == comments(text)


def order_of(word: str, *, named: bool = False) -> list[str]:
    return [option.name for option in section_of(word, named=named).options()]


def test_new_option_stands_below_its_commented_default() -> None:
    edited = set_value(sample(), "basic", "max_hops", ["50"], order_of("basic"))
    assert "\n# max_hops = 100\nmax_hops = 50\n\n# Max. RSET" in edited
    assert edited.replace("max_hops = 50\n", "") == sample()


def test_comment_below_a_commented_default_stays_below_the_new_option() -> None:
    text = "[basic]\n# max_hops = 100\n# and then\n  ; the next\n# max_rset = 20\n"
    edited = set_value(text, "basic", "max_hops", ["50"], order_of("basic"))
    assert edited == "[basic]\n# max_hops = 100\nmax_hops = 50\n# and then\n  ; the next\n# max_rset = 20\n"


@pytest.mark.parametrize(
    ("text", "edited"),
    [
        ("[basic]\nmax_recipients = 5\nmax_rset = 5\n", "[basic]\nmax_recipients = 5\nmax_hops = 50\nmax_rset = 5\n"),
        ("[basic]\n# about it\nmax_rset = 5\n", "[basic]\nmax_hops = 50\n# about it\nmax_rset = 5\n"),
        ("[basic]\n# a note\n", "[basic]\nmax_hops = 50\n# a note\n"),
        ("[basic]\n", "[basic]\nmax_hops = 50\n"),
        ("[basic]", "[basic]\nmax_hops = 50\n"),
        ("[basic]\nmax_rset = 5", "[basic]\nmax_hops = 50\nmax_rset = 5"),
    ],
)
def test_new_option_stands_where_the_manual_has_it(text: str, edited: str) -> None:
    assert set_value(text, "basic", "max_hops", ["50"], order_of("basic")) == edited


def test_comments_between_items_stay_above_their_items() -> None:
    edited = set_value(COMMENTED, "trusted", "hosts", ["192.0.2.8", "192.0.2.7", "192.0.2.1"], ["hosts"])
    assert (
        "hosts =\n# not indented\n    192.0.2.8\n    # the office\n    192.0.2.7\n    192.0.2.1\n"
        "    # behind the last\n" in edited
    )


def test_comment_above_an_item_that_is_gone_stays() -> None:
    edited = set_value(COMMENTED, "trusted", "hosts", ["192.0.2.8"], ["hosts"])
    assert "hosts =\n    # the office\n# not indented\n    192.0.2.8\n" in edited
    cleared = set_value(COMMENTED, "trusted", "hosts", [], ["hosts"])
    assert "hosts =\n    # the office\n# not indented\n    # behind the last\n" in cleared


def test_comment_right_above_a_section_goes_with_it() -> None:
    moved = move_section(COMMENTED, "listener smtp", 1)
    assert (
        "\n\n# for users\n# with a login\n[listener submission]\nport   =   587\nauth=required\n\n"
        "# for other servers\n[listener smtp]\nport = 25\n\n[trusted]\n" in moved
    )
    deleted = delete_section(COMMENTED, "listener submission")
    assert "# for users" not in deleted
    assert "\n# for other servers\n[listener smtp]\nport = 25\n\n[trusted]\n" in deleted


def test_head_of_the_file_belongs_to_no_section() -> None:
    text = "# head\n[row a]\n[row b]\n"
    assert move_section(text, "row a", 1) == "# head\n[row b]\n\n[row a]\n"
    assert delete_section(text, "row a") == "# head\n[row b]\n"


def test_section_is_added_to_a_file_without_any() -> None:
    assert scan(add_section("# head", "basic")).sections[0].title == "basic"
    assert add_section("", "basic") == "[basic]\n"

"""A long queue: what is begun before all messages are listed goes on to the end of the list."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from spool import Spool
from tests.tui.cost import server
from tests.tui.program import NOW, Tui
from tests.tui.terminal import Terminal
from tests.tui.test_queue import defer, put
from tui.shell.background import AtOnce, Failed

T = TypeVar("T")
NUMBER = 5000


class WhenTold(AtOnce):
    """Does the work piece by piece: for what a person does meanwhile."""

    def __init__(self) -> None:
        self._work: list[Callable[[], None]] = []

    def run(self, work: Callable[[], T], done: Callable[[T], None], failed: Failed) -> None:
        self._work.append(lambda: super(WhenTold, self).run(work, done, failed))

    def go_on(self, pieces: int = 1000) -> None:
        while self._work and pieces:
            self._work.pop(0)()
            pieces -= 1


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return server(tmp_path_factory.mktemp("long"), NUMBER, 0)


@pytest.fixture
def slow(path: Path) -> Iterator[tuple[Tui, WhenTold]]:
    tui, background = Tui(path, size=(100, 30)), WhenTold()
    tui.shell.context.background = background
    yield tui.go("Queue"), background
    background.go_on()


def test_a_search_typed_at_once_looks_into_every_message(path: Path) -> None:
    with Terminal(path) as terminal:
        terminal.shows("F10 Quit").press("f7").shows("Find an option").press("queue").shows("Find: queue")
        terminal.press("enter", "/", "r@example.net", "enter")  # not a moment to list anything
        terminal.shows("5,000 found in 5,000 of 5,000.", "5,000 messages, ", " 5,000 found")


@pytest.mark.parametrize("pieces", [0, 1, 2])
def test_a_search_goes_on_when_the_whole_queue_is_listed(pieces: int, slow: tuple[Tui, WhenTold]) -> None:
    tui, background = slow
    background.go_on(pieces)
    tui.press("/").type("r@example.net").press("enter")
    background.go_on()
    assert tui.status_line == "5,000 found in 5,000 of 5,000."
    assert "5,000 messages, 5,000 new, 5,000 found" in tui.text


def test_a_part_of_the_queue_is_called_a_part(slow: tuple[Tui, WhenTold]) -> None:
    tui, background = slow
    background.go_on(1)
    assert "3,000 messages so far" in tui.text
    background.go_on()
    assert "5,000 messages, 5,000 new;" in tui.text


def test_tags_are_for_the_whole_queue(slow: tuple[Tui, WhenTold]) -> None:
    tui, background = slow
    background.go_on(1)
    tui.press("a")
    assert tui.status_line == "Waiting until the whole queue is listed …"
    background.go_on()
    assert tui.status_line == "✓ 5,000 tagged."
    assert "5,000 new, 5,000 tagged" in tui.text


def test_tags_by_pattern_are_for_the_whole_queue(slow: tuple[Tui, WhenTold]) -> None:
    tui, background = slow
    background.go_on(1)
    tui.press("+").type("*@example.net").press("enter")
    background.go_on()
    assert "5,000 tagged" in tui.text


def test_tags_wait_for_the_search(slow: tuple[Tui, WhenTold]) -> None:
    tui, background = slow
    tui.press("/").type("r@example.net").press("enter", "a")
    background.go_on()
    assert "5,000 found" in tui.text
    assert "5,000 tagged" in tui.text


def test_all_domains_are_counted(slow: tuple[Tui, WhenTold]) -> None:
    tui, background = slow
    background.go_on(1)
    tui.press("x")
    background.go_on()
    assert "example.net" in tui.dialog_text
    assert " 5000 " in tui.dialog_text


def test_a_new_search_begins_anew(slow: tuple[Tui, WhenTold]) -> None:
    tui, background = slow
    tui.press("/").type("r@example.net").press("enter")
    background.go_on(2)
    tui.press("/", "ctrl u").type("nosuchword").press("enter")
    background.go_on()
    assert tui.status_line == "0 found in 5,000 of 5,000."
    tui.press("/", "ctrl u", "enter")
    background.go_on()
    assert "5,000 messages, 5,000 new;" in tui.text


def test_a_search_keeps_up_with_the_queue(tmp_path: Path) -> None:
    path = server(tmp_path, 3, 0)
    spool = Spool(str(tmp_path / "spool"))
    changing = put(spool, "s3@example.org", "r3@example.net", NOW)
    tui = Tui(path).go("Queue").press("/").type("later").press("enter")
    assert "0 found" in tui.text
    defer(spool, changing, "451 later")
    assert "1 found" in tui.press("f5").text
    spool.retry_now(changing)
    assert "1 found" in tui.press("f5").text
    defer(spool, changing, "451 never")
    assert "0 found" in tui.press("f5").text

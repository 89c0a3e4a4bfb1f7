"""Work beside the screen: its results come back in the loop's thread, and nothing that goes wrong ends the loop."""

import threading
from collections.abc import Callable

import pytest
import urwid
import urwid.testing as ut

from tui.shell.background import AtOnce, Background, Threads


def run(begin: Callable[[Background, list[object]], None], results: int) -> list[object]:
    """Run a loop until so many results have come."""
    said: list[object] = []
    loop = urwid.MainLoop(urwid.SolidFill(), screen=ut.ScriptedScreen(inputs=[["window resize"]] * 100_000))
    background = Threads(loop, said.append)
    begin(background, said)

    def look(_: urwid.MainLoop, __: object) -> None:
        if len(said) >= results:
            raise urwid.ExitMainLoop
        loop.set_alarm_in(0.005, look)

    loop.set_alarm_in(0, look)
    loop.run()
    return said


def test_results_come_back_in_the_thread_of_the_loop() -> None:
    here = threading.get_ident()
    threads: list[int] = []

    def begin(background: Background, said: list[object]) -> None:
        def done(found: int) -> None:
            threads.append(threading.get_ident())
            said.append(found)

        for number in range(20):
            background.run(lambda number=number: number, done, said.append)  # type: ignore[misc]

    assert sorted(run(begin, 20)) == list(range(20))  # type: ignore[type-var]
    assert set(threads) == {here}


def test_what_the_work_raises_is_told() -> None:
    def begin(background: Background, said: list[object]) -> None:
        background.run(lambda: 1 // 0, said.append, lambda problem: said.append(type(problem)))

    assert run(begin, 1) == [ZeroDivisionError]


def test_a_result_that_cannot_be_shown_does_not_end_the_loop() -> None:
    def begin(background: Background, said: list[object]) -> None:
        background.run(lambda: "x", int, said.append)  # type: ignore[arg-type]
        background.run(lambda: "y", said.append, said.append)

    found = run(begin, 2)
    assert "y" in found
    assert any(isinstance(each, ValueError) for each in found)


@pytest.mark.parametrize("problem", [OSError("disk"), ValueError("value"), KeyError("key")])
def test_at_once_tells_too(problem: Exception) -> None:
    said: list[object] = []

    def work() -> None:
        raise problem

    AtOnce().run(work, said.append, said.append)
    assert said == [problem]

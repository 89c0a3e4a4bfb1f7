"""Work beside the screen: work that may take longer than a tenth of a second runs in a thread.

Only the loop's thread touches widgets. A thread leaves its result in a queue and writes one byte to a pipe that the
loop watches.
"""

import os
import queue
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, Protocol, TypeVar

import urwid

__all__ = ["AtOnce", "Background", "Threads"]

T = TypeVar("T")
Failed = Callable[[Exception], None]


class Background(Protocol):
    def run(self, work: Callable[[], T], done: Callable[[T], None], failed: Failed) -> None:
        """Call `done` with the result of `work`, or `failed` with its exception, later and in the loop's thread."""

    def call(self, work: Callable[[], None]) -> None:
        """Call `work` in the loop's thread; any thread may use this."""


class AtOnce:
    """Does the work immediately: for tests, and for a program without a loop."""

    def run(self, work: Callable[[], T], done: Callable[[T], None], failed: Failed) -> None:
        try:
            result = work()
        except Exception as problem:
            failed(problem)
        else:
            done(result)

    def call(self, work: Callable[[], None]) -> None:
        work()


class Threads:
    """One daemon thread for each piece of work: leaving the program never waits for one.

    `failed` is called when a callback of a result raises. The work begins after the first picture of the screen, for
    which it would take the processor away.
    """

    def __init__(self, loop: urwid.MainLoop, failed: Failed) -> None:
        self._failed = failed
        self._results: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._pipe = loop.watch_pipe(self._collect)
        self._before: list[threading.Thread] | None = []  # None: the first picture is drawn
        self._loop = loop
        self._idle = loop.event_loop.enter_idle(self._drawing)

    def _drawing(self) -> None:
        """Begin the work after the first picture: the loop is idle for the first time, and draws now."""
        self._loop.event_loop.remove_enter_idle(self._idle)
        self._loop.set_alarm_in(0, self._begin)

    def _begin(self, _loop: urwid.MainLoop, _: object) -> None:
        early, self._before = self._before or [], None
        for thread in early:
            thread.start()

    def run(self, work: Callable[[], T], done: Callable[[T], None], failed: Failed) -> None:
        thread = threading.Thread(target=self._work, args=(work, done, failed), daemon=True)
        if self._before is None:
            thread.start()
        else:
            self._before.append(thread)

    def call(self, work: Callable[[], None]) -> None:
        self._hand_over(work)

    def _work(self, work: Callable[[], Any], done: Callable[[Any], None], failed: Failed) -> None:
        try:
            result = work()
        except Exception as problem:
            self._hand_over(partial(failed, problem))
        else:
            self._hand_over(lambda: done(result))

    def _hand_over(self, call: Callable[[], None]) -> None:
        self._results.put(call)
        with suppress(OSError):  # the program is leaving
            os.write(self._pipe, b".")

    def _collect(self, _: bytes) -> bool:
        while True:
            try:
                call = self._results.get_nowait()
            except queue.Empty:
                return True
            try:
                call()
            except urwid.ExitMainLoop:
                raise
            except Exception as problem:
                self._failed(problem)

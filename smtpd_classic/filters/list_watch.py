"""The thread that tests the DNS lists of the SMTP Filter, so that no session has to wait for a test."""

import threading
from collections.abc import Iterable

from smtpd_classic.filters.dns_lists import DnsLists

__all__ = ["ListWatch"]

_STEP_S = 30.0


class ListWatch:
    """`start()`, and once `stop()`. All lists are tested at the start, and each one again when it is due."""

    def __init__(self, lists: Iterable[DnsLists]) -> None:
        self._lists = tuple(each for each in lists if each)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lists", daemon=True)

    def start(self) -> None:
        """Test from now on. Without lists there is no thread."""
        if self._lists:
            self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stopping.set()

    def _run(self) -> None:
        while True:
            for each in self._lists:
                each.test()
            if self._stopping.wait(_STEP_S):
                return

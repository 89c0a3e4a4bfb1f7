"""The threads that exchange facts with the shared state for as long as the server runs."""

import threading
from collections.abc import Callable

from smtpd_classic.shared_state.client import SharedStateDown

__all__ = ["ExchangeThread"]


class ExchangeThread:
    """A thread that calls `once` every `every_s` until it is stopped. No fault of a round ends it.

    `warn` is called with a sentence about a fault, and again only after a round without it. A shared state that is down
    is no fault: its client says so.
    """

    def __init__(self, name: str, once: Callable[[], object], every_s: float, warn: Callable[[str], object]) -> None:
        self._name = name
        self._once = once
        self._every_s = every_s
        self._warn = warn
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._ending.set()
        self._thread.join(1.0)

    def _run(self) -> None:
        said = ""
        while not self._ending.wait(self._every_s):
            fault = self._fault()
            if fault and fault != said:
                self._warn(fault)
            said = fault

    def _fault(self) -> str:
        """Return a sentence about the fault of a round; blank if it had none."""
        try:
            self._once()
        except SharedStateDown:
            return ""
        except Exception as problem:  # one bad fact must not stop all others until a reload
            return f"{self._name}: {type(problem).__name__}: {problem}"
        return ""

"""Failures of clients, counted for several servers together. No password is in the shared state, nor an address."""

from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import NamedTuple

from smtpd_classic.shared_state import SharedState, SharedStateDown, scripts

__all__ = ["SharedFailure", "welcome_everywhere"]

_FAILURES, _LOGIN = "failure", "login"


class SharedFailure(NamedTuple):
    """One failure of a client: its kind (“L” or “P”) and a hash that tells whether the next one is the same."""

    shared: SharedState
    client: str
    what: bytes
    window: timedelta
    most: int

    def add(self) -> int:
        """Add the failure. Return the number within the window; 0 for a client that has logged in lately. Raises
        SharedStateDown.
        """
        kind = self.what[:1].decode()
        values = [f"{kind}{self.what[1:].hex()}", kind, int(self.window.total_seconds() * 1000), self.most]
        keys = [self.shared.key(each, self.client) for each in (_FAILURES, _LOGIN)]
        found = self.shared.run(scripts.FAIL, keys, values)
        return max(int(found), 0)


def welcome_everywhere(shared: SharedState, client: str) -> None:
    """Note a login of a client for all servers, now or when the shared state is back."""
    action = partial(shared.run, scripts.WELCOME, [shared.key(_LOGIN, client)])
    try:
        action()
    except SharedStateDown:
        with suppress(SharedStateDown):
            shared.owe(action)

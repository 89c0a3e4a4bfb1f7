"""Notices about programs beside this server that are down: one, after five minutes."""

from collections.abc import Callable, Sequence

from smtpd_classic.accounts import AccountsUnreadable
from smtpd_classic.runtime import NeighbourState, NeighbourStates
from spool import SpoolBroken, SpoolFull

__all__ = ["NeighbourNotices"]

_LOOK_S = 20.0
_DOWN_S = 300.0


class NeighbourNotices:
    """The notices of the delivering process. `notify` queues one."""

    def __init__(
        self,
        states: NeighbourStates,
        names: Sequence[str],
        notify: Callable[[NeighbourState], None],
        complain: Callable[[str], None],
        clock: Callable[[], float],
    ) -> None:
        self._states = states
        self._names = names
        self._notify = notify
        self._complain = complain
        self._clock = clock
        self._next = 0.0

    def look(self) -> None:
        """Send the notices that are due. Does nothing more often than every 20 seconds."""
        now = self._clock()
        if not self._names or 0 <= self._next - now <= _LOOK_S:
            return
        self._next = now + _LOOK_S
        for name in self._names:
            state = self._states.read(name)
            if state is None or not state.is_down or state.notified or now - state.since < _DOWN_S:
                continue
            try:
                self._notify(state)
            except (SpoolFull, SpoolBroken, AccountsUnreadable, OSError) as problem:
                self._complain(f"the postmaster could not be told of the milter {name}: {problem}")
            else:
                self._states.set_notified(state)

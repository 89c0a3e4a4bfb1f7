"""The holds of the queue: when each ends, and its description for an administrator."""

import time
from typing import NamedTuple

from smtpd_classic.approval import approval_named
from smtpd_classic.config.schema import Config
from spool import Hold, State
from spool.entry import APPROVAL, RESTORED, UNDELIVERABLE

__all__ = ["HoldNotes", "hold_end", "hold_notes"]

_NEVER = float("inf")
_WITHOUT_END = frozenset({RESTORED, UNDELIVERABLE})  # an administrator must see them


class HoldNotes(NamedTuple):
    """The facts of a hold: the managers who decide, the time of its end (0.0: none), and both in sentences.

    `approval` names the section of an approval that is needed now or after the release.
    """

    managers: tuple[str, ...]
    approval: str
    until: float
    sentences: tuple[str, ...]


def hold_end(config: Config, hold: Hold) -> float:
    """Return the end of a hold. One of an earlier version, without a beginning, has none."""
    if not hold.since or hold.reason in _WITHOUT_END:
        return _NEVER
    wait = config.filter.quarantine_time if hold.is_quarantine else config.limits.hold_time
    approval = approval_named(config, hold) if hold.reason == APPROVAL else None
    wait = wait if approval is None else approval.wait
    return hold.since + wait.total_seconds()


def hold_notes(config: Config, state: State) -> HoldNotes | None:
    """Return the facts of the present hold; None if the message is not held."""
    hold = state.hold
    if hold is None:
        return None
    until = hold_end(config, hold)
    if hold.reason == APPROVAL:
        needed, said = hold, _approval(config, state, until)
    else:
        needed, said = Hold(APPROVAL, state.approval), (_end(hold, until),)
    approval = approval_named(config, needed)
    managers = () if approval is None else approval.managers
    if state.approval and hold.reason != APPROVAL:
        said += (f"After its release it waits for approval ({needed.text}){_of(managers)}.",)
    return HoldNotes(managers, needed.text, 0.0 if until == _NEVER else until, said)


def _approval(config: Config, state: State, until: float) -> tuple[str, ...]:
    if state.decision:
        return (f"It was {state.decision} and goes back to its sender.",)
    approval = approval_named(config, Hold(APPROVAL, state.hold_text))
    if approval is None:
        return (f"There is no section [approval {state.hold_text}] any more: approve or refuse it here.",)
    end = "" if until == _NEVER else f" until {_moment(until)}; after this it goes back to its sender"
    return (f"It waits for approval ({approval.name}){_of(approval.managers)}{end}.",)


def _of(managers: tuple[str, ...]) -> str:
    return f" by {' or '.join(managers)}" if managers else ""


def _end(hold: Hold, until: float) -> str:
    if until == _NEVER:
        return "It waits without an end: release or delete it."
    end = "it is deleted" if hold.is_quarantine else "it goes back to its sender"
    return f"Without a release {end} at {_moment(until)}."


def _moment(when: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(when))

"""Actions on queued messages, each with a sentence about its result.

Root does not change the queue itself: root would own the files it writes, and the server could not change them any
more. So as root this module runs the command line program, which drops its privileges first.
"""

import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

from smtpd_classic.runtime import Runtime
from spool import NoSuchEntry, NotClaimed, NotWaiting, Spool, SpoolBroken, SpoolFull
from spool.actions import ACTIONS, WAKING

__all__ = ["act"]

_DONE = {"retry": "tried again", "hold": "held", "release": "released", "delete": "deleted"}
_DONE |= {"approve": "approved", "refuse": "refused"}
_COUNTED = re.compile(r"[^:]+: (?P<done>\d+)\.(?: [^:]+: (?P<held>\d+)\.)?")
_EXPLAINED = re.compile(r"being delivered|There is no message|: smtpd-classic queue (?:approve|release) \w+$")
_AT_ONCE = 500  # message ids in one command line
_HELD = {"retry": "on hold: release it first", "release": "waiting for approval now"}


@dataclass(slots=True)
class _Counts:
    """The messages of one action: done, on hold in spite of it, in delivery, and gone."""

    done: int = 0
    held: int = 0
    busy: int = 0
    gone: int = 0


def act(action: str, ids: Sequence[str], spool: Spool, runtime: Runtime, config: str) -> str:
    """Apply the action to each message and return a sentence. A failure of one message does not stop the others."""
    if os.geteuid() == 0 and _owner(spool.path) != 0:
        return _as_service_user(action, ids, config)
    counts, broken = _Counts(), ""
    for queue_id in ids:
        try:
            hold = ACTIONS[action](spool, queue_id, time.time())
            counts.done += hold is None
            counts.held += hold is not None
        except NotClaimed:
            counts.busy += 1
        except NoSuchEntry:
            counts.gone += 1
        except NotWaiting:
            broken = f"{queue_id} does not wait for approval"
        except (SpoolBroken, SpoolFull) as problem:
            broken = str(problem)
        if action in WAKING:
            runtime.wake(queue_id if len(ids) < 20 else "")
    return _sentence(action, counts, broken)


def _sentence(action: str, counts: _Counts, broken: str) -> str:
    what = "Will be tried now" if action == "retry" else _DONE[action].capitalize()
    words = [f"{what}: {counts.done:,}."]
    if counts.held:
        words.append(f"{counts.held:,} {_HELD[action]}.")
    if counts.busy:
        words.append(f"{counts.busy:,} just being delivered, left alone.")
    if counts.gone:
        words.append(f"{counts.gone:,} gone already.")
    if broken:
        words.append(f"Problem: {broken}.")
    return " ".join(words)


def _owner(path: str) -> int:
    try:
        return os.stat(path).st_uid
    except OSError:
        return 0


def _as_service_user(action: str, ids: Sequence[str], config: str) -> str:
    command = [sys.executable, "-m", "smtpd_classic", "--config", config, "queue", action]
    said: list[str] = []
    for start in range(0, len(ids), _AT_ONCE):
        part = ids[start : start + _AT_ONCE]
        result = subprocess.run([*command, *part], capture_output=True, text=True, check=False, errors="replace")
        said += result.stderr.splitlines()
    counted = list(filter(None, map(_COUNTED.fullmatch, said)))
    other = [line for line in said if not _COUNTED.fullmatch(line) and not _EXPLAINED.search(line)]
    counts = _Counts(
        done=sum(int(found["done"]) for found in counted),
        held=sum(int(found["held"] or 0) for found in counted),
        busy=sum("being delivered" in line for line in said),
        gone=sum("There is no message" in line for line in said),
    )
    return _sentence(action, counts, other[-1].rstrip(".") if other else "")

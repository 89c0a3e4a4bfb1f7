"""Actions on queued messages, each with a sentence about its result.

Root does not change the queue itself: root would own the files it writes, and the server could not change them any
more. So as root this module runs the command line program, which drops its privileges first.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence

from smtpd_classic.runtime import Runtime
from spool import Hold, NoSuchEntry, NotClaimed, NotWaiting, Spool, SpoolBroken, SpoolFull
from spool.entry import ADMINISTRATOR

__all__ = ["ACTIONS", "act"]

_DONE = {"retry": "tried again", "hold": "held", "release": "released", "delete": "deleted"}
_DONE |= {"approve": "approved", "refuse": "refused"}
_AT_ONCE = 500  # message ids in one command line
ACTIONS = tuple(_DONE)


def act(action: str, ids: Sequence[str], spool: Spool, runtime: Runtime, config: str) -> str:
    """Apply the action to each message and return a sentence. A failure of one message does not stop the others."""
    if os.geteuid() == 0 and _owner(spool.path) != 0:
        return _as_service_user(action, ids, config)
    steps: dict[str, Callable[[str], None]] = {
        "retry": spool.retry_now,
        "hold": lambda queue_id: spool.hold(queue_id, Hold(since=time.time())),
        "release": lambda queue_id: spool.release(queue_id, now=time.time()),
        "approve": lambda queue_id: spool.decide(queue_id, ADMINISTRATOR, approved=True, now=time.time()),
        "refuse": lambda queue_id: spool.decide(queue_id, ADMINISTRATOR, approved=False, now=time.time()),
        "delete": spool.delete,
    }
    done, busy, gone, broken = 0, 0, 0, ""
    for queue_id in ids:
        try:
            steps[action](queue_id)
            done += 1
        except NotClaimed:
            busy += 1
        except NoSuchEntry:
            gone += 1
        except NotWaiting:
            broken = f"{queue_id} does not wait for approval"
        except (SpoolBroken, SpoolFull) as problem:
            broken = str(problem)
        if action in {"retry", "release", "approve", "refuse"}:
            runtime.wake(queue_id if len(ids) < 20 else "")
    return _sentence(action, done, busy, gone, broken)


def _sentence(action: str, done: int, busy: int, gone: int, broken: str) -> str:
    what = "Will be tried now" if action == "retry" else _DONE[action].capitalize()
    words = [f"{what}: {done:,}."]
    if busy:
        words.append(f"{busy:,} just being delivered, left alone.")
    if gone:
        words.append(f"{gone:,} gone already.")
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
    counted = [line for line in said if line.rstrip(".").rpartition(": ")[2].isdigit()]
    done = sum(int(line.rstrip(".").rpartition(": ")[2]) for line in counted)
    busy = sum("being delivered" in line for line in said)
    gone = sum("There is no message" in line for line in said)
    other = [line for line in said if line not in counted]
    return _sentence(action, done, busy, gone, "" if busy or gone or not other else other[-1])

"""Which processor a child runs on.

Only one thread of a Python process runs at a time, so that a second processor gives it nothing; but a turn that goes to
a thread on another processor waits for that one to wake up, which takes longer than a command of SMTP. Therefore each
child keeps to one processor. A thread that is woken there waits until the one that runs has to wait, too: a sender
a reply would otherwise lose its turn by it.

Receivers also step back behind the process that delivers: accepted mail goes out before more is accepted, and the
queue stays short when more comes in than can leave.
"""

import os
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress

__all__ = ["allowed", "least_used", "settle"]

_STEP_BACK = 3  # of 19: the receivers on its processor leave it two thirds of the time


def allowed() -> tuple[int, ...]:
    """Return the numbers of the processors that this process may run on."""
    return tuple(sorted(os.sched_getaffinity(0)))


def least_used(processors: Iterable[int], used: Iterable[int]) -> int:
    """Return the first processor that is not in `used`, or is in it less often than any other."""
    counted = Counter(used)
    return min(processors, key=lambda processor: counted[processor])


def settle(processor: int, *, steps_back: bool) -> None:
    """Let this process, which has one thread as yet, keep to it. Where the system forbids it, nothing but
    time is lost."""
    with suppress(OSError):
        os.sched_setaffinity(0, {processor})
    with suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    if steps_back:
        with suppress(OSError):
            os.nice(_STEP_BACK)

"""What a tree of processes has used: processor time and memory."""

import os
import time
from pathlib import Path
from typing import NamedTuple

__all__ = ["NOTHING", "Times", "await_rest", "peak_bytes", "pss_bytes", "times", "tree"]

_TICK = os.sysconf("SC_CLK_TCK")
_REST_S, _LONGEST_START_S = 0.5, 10.0


def tree(roots: list[int]) -> list[int]:
    """The processes and all their descendants that are alive."""
    found, waiting = [], list(roots)
    while waiting:
        pid = waiting.pop()
        if pid in found:  # a root may be another one's child
            continue
        try:
            for task in Path(f"/proc/{pid}/task").iterdir():
                waiting += [int(word) for word in (task / "children").read_text().split()]
        except OSError:
            continue
        found.append(pid)
    return found


class Times(NamedTuple):
    """Seconds of processor time: in the programs of a tree, in the kernel for them, and of the whole machine, idle or
    not."""

    user: float
    system: float
    busy: float
    idle: float

    def since(self, before: "Times") -> "Times":
        return Times(*(now - then for now, then in zip(self, before, strict=True)))


NOTHING = Times(0, 0, 0, 0)


def times(roots: list[int]) -> Times:
    """Those of the tree with those of children which have ended and been waited for."""
    user = system = 0
    for pid in tree(roots):
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        user += int(fields[11]) + int(fields[13])
        system += int(fields[12]) + int(fields[14])
    machine = [int(word) for word in Path("/proc/stat").read_text().split(maxsplit=9)[1:9]]
    idle = machine[3] + machine[4]  # waiting for the disk is idle, too
    return Times(user / _TICK, system / _TICK, (sum(machine) - idle) / _TICK, idle / _TICK)


def await_rest(roots: list[int]) -> None:
    """Wait until the tree has done the work of its start, which is none of a workload: half a second without a tick of
    processor time, or ten seconds in all."""
    deadline, before = time.monotonic() + _LONGEST_START_S, NOTHING
    while time.monotonic() < deadline:
        now = times(roots)
        if (now.user, now.system) == (before.user, before.system):
            return
        before = now
        time.sleep(_REST_S)


def pss_bytes(roots: list[int]) -> int:
    """Proportional set size: memory shared by n processes counts an n-th in each."""
    total = 0
    for pid in tree(roots):
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) * 1024
    return total


def peak_bytes(roots: list[int]) -> int:
    """The most memory that any process of the tree has ever had."""
    peaks = [0]
    for pid in tree(roots):
        try:
            lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        except OSError:
            continue
        peaks += [int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")]
    return max(peaks)

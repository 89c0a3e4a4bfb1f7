"""What a tree of processes has used: processor time and memory."""

import os
from pathlib import Path

__all__ = ["cpu_seconds", "pss_bytes", "tree"]

_TICK = os.sysconf("SC_CLK_TCK")


def tree(roots: list[int]) -> list[int]:
    """The processes and all their descendants that are alive."""
    found, waiting = [], list(roots)
    while waiting:
        pid = waiting.pop()
        try:
            for task in Path(f"/proc/{pid}/task").iterdir():
                waiting += [int(word) for word in (task / "children").read_text().split()]
        except OSError:
            continue
        found.append(pid)
    return found


def cpu_seconds(roots: list[int]) -> float:
    """User and system time of the tree, with that of children which have ended and been waited for."""
    total = 0.0
    for pid in tree(roots):
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        total += sum(int(word) for word in fields[11:15])
    return total / _TICK


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

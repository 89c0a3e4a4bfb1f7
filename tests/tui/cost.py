"""The processor time of the program on a terminal: `python -m tests.tui.cost [MESSAGES [MEGABYTES OF LOG]]`.

It prints the time to the first screen, of each key in the menu, over the queue and in the log, and of a second in which
nothing happens. Compare the figures with the time of `python -c pass`, which stands beside them: a busy machine makes
all of them dearer.
"""

import os
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from spool import Spool, new_queue_id
from tests.tui.program import CONFIG, made
from tests.tui.terminal import Terminal
from tests.tui.test_queue import put

__all__ = ["Figures", "measured", "server"]

_LINE = "Sep 21 14:10:01 host smtpd-classic/smtpd[7]: 6603A1B2C3D4E5F60789: client=mx.example.net[198.51.100.7]\n"
_IDLE_S = 10


class Figures(NamedTuple):
    """Milliseconds of processor time: the start, one key, and a second without a key."""

    python: float
    first_screen: float
    menu_key: float
    menu_key_again: float
    queue_key: float
    log_key: float
    idle_status: float
    idle_queue: float


def server(folder: Path, messages: int, log_megabytes: int) -> Path:
    """Make a server with so many messages and so long a log, and return its file."""
    spool = Spool(str(folder / "spool"))
    spool.make()
    now = time.time()
    for start in range(0, messages, 50_000):  # links: a file system allows 65,000 to one file
        first = Path(spool.path) / "new" / put(spool, "s@example.org", "r@example.net", now - start - 1)
        for each in range(1, min(50_000, messages - start)):
            os.link(first, first.parent / new_queue_id(now - start - 1 - each))
    with (folder / "log").open("w", encoding="ascii") as log:
        piece = _LINE * (1_000_000 // len(_LINE))
        for _ in range(log_megabytes):
            log.write(piece)
    return made(folder, CONFIG.replace("[server]", f"[server]\nlog = {folder}/log"))


def measured(path: Path) -> Figures:
    """Start the program on the file, press keys, and wait."""
    python = _python()
    with Terminal(path) as terminal:
        terminal.shows("F10 Quit", timeout_s=60)
        first = _cpu(terminal)
        _settled(terminal)
        names = ["Basic Parameters", "Remote Delivery", "Open Relay Domains", "Trusted Hosts", "Direct Delivery"]
        down = _keys(terminal, [("down", f"› {name} ·") for name in names])
        ways = [*reversed(names[:-1]), *names[1:]]
        again = _keys(terminal, [("up" if at < 4 else "down", f"› {name} ·") for at, name in enumerate(ways)])
        terminal.press("f7").shows("Find an option").press("status").shows("screen").press("enter").shows("› Status")
        idle_status = _idle(terminal)
        terminal.press("f7").shows("Find an option").press("queue").shows("screen").press("enter").shows("› Queue")
        terminal.shows(" 1/", timeout_s=60)
        _settled(terminal)
        queue = _keys(terminal, [("down", f" {number}/") for number in range(2, 22)])
        idle_queue = _idle(terminal)
        terminal.press("f7").shows("Find an option").press("log").shows("screen").press("enter").shows("› Log")
        _settled(terminal)
        log = _keys(terminal, [("up", "") for _ in range(20)])
    return Figures(python, first, down, again, queue, log, idle_status, idle_queue)


def _python() -> float:
    before = os.times()
    subprocess.run([sys.executable, "-c", "pass"], check=True)
    after = os.times()
    return (after.children_user + after.children_system - before.children_user - before.children_system) * 1000


def _cpu(terminal: Terminal) -> float:
    """Return the milliseconds of processor time of the program, from its nanoseconds in proc(5)."""
    total = 0
    for task in Path(f"/proc/{terminal.child.pid}/task").iterdir():
        with suppress(FileNotFoundError):  # the thread has just ended
            total += int((task / "schedstat").read_text(encoding="ascii").split()[0])
    return total / 1e6


def _settled(terminal: Terminal) -> None:
    """Wait until the work beside the screen is done: the program uses less than 3 % of a processor."""
    while True:
        before = _cpu(terminal)
        time.sleep(1)
        if _cpu(terminal) - before < 30:
            return


def _keys(terminal: Terminal, steps: list[tuple[str, str]]) -> float:
    before = _cpu(terminal)
    for key, words in steps:
        terminal.press(key)
        if words:
            terminal.shows(words)
        else:
            time.sleep(0.1)
    return (_cpu(terminal) - before) / len(steps)


def _idle(terminal: Terminal) -> float:
    _settled(terminal)
    before = _cpu(terminal)
    time.sleep(_IDLE_S)
    return (_cpu(terminal) - before) / _IDLE_S


if __name__ == "__main__":
    numbers = [int(each) for each in sys.argv[1:]] + [100_000, 500][len(sys.argv) - 1 :]
    with tempfile.TemporaryDirectory() as place:
        print(f"{numbers[0]:,} messages, {numbers[1]} MB of log")
        for name, value in measured(server(Path(place), *numbers))._asdict().items():
            print(f"{name.replace('_', ' '):16} {value:7.1f} ms")

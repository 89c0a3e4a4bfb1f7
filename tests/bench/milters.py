"""What milters cost: the time that one adds to a message, and the rate of other sessions while many wait for one."""

import contextlib
import socket
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from tests.bench.measuring import run
from tests.bench.ours import Ours
from tests.bench.peer import DOMAIN
from tests.bench.sink import Sink
from tests.bench.workloads import CLIENT, Workload, own_address
from tests.instance import free_port
from tests.milter.fake import CONTINUE, SILENT, FakeFilter, options
from tests.waiting import until

__all__ = ["MilterCosts", "milter_costs"]

_ALONE = Workload("", "one session", 400, sessions=1)
_OTHERS = Workload("", "sessions that the milter does not see", 3000)
_WAITING = 200
_ROUNDS = 6


class MilterCosts(NamedTuple):
    """`added_s`: a message, with one milter that answers every step at once. `beside`: the part of their rate that
    other sessions keep while `_WAITING` sessions wait for a milter."""

    added_s: float
    beside: float


def milter_costs(disk: Path) -> MilterCosts:
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        folder.chmod(0o755)
        quick, slow = FakeFilter().listen(folder), FakeFilter({"R": SILENT}).listen(folder)
        for made in (quick, slow):
            stack.callback(made.close)
            Path(made.address.removeprefix("unix:")).chmod(0o666)
        with (
            _serving(disk, "") as without,
            _serving(disk, options(quick, for_="both")) as filtered,
        ):
            pairs = _pairs(lambda: without(_ALONE, 0), lambda: filtered(_ALONE, 0))
        added = statistics.median(with_one - alone for alone, with_one in pairs)
        patient = (
            options(slow, command_timeout="1h") + f"[milter]\nmax_connections = {_WAITING}\nfilter_deadline = 1h\n"
        )
        with _serving(disk, patient, slow) as seconds:
            pairs = _pairs(lambda: seconds(_OTHERS, 0), lambda: seconds(_OTHERS, _WAITING))
        kept = statistics.median(alone / beside for alone, beside in pairs)
    return MilterCosts(added, kept)


def _pairs(first: Callable[[], float], second: Callable[[], float]) -> list[tuple[float, float]]:
    """Measure both in turn, each as often before the other as after it: a disk that fills up slows the later one."""
    found = []
    for number in range(_ROUNDS):
        if number % 2:
            late = second()
            found.append((first(), late))
        else:
            found.append((first(), second()))
    return found


@contextlib.contextmanager
def _serving(disk: Path, more: str, slow: FakeFilter | None = None) -> Iterator[Callable[[Workload, int], float]]:
    """Yield a measure of one running server: the time a message while so many sessions wait for `slow`. What is
    compared is measured in turn, because the machine does not always have the same time for it."""
    server, sink = _Open(), Sink(free_port())
    server.more = more
    server.start(disk / f"milter-{time.monotonic_ns()}", sink.port)

    def seconds(load: Workload, waiting: int) -> float:
        with _waiting(server.port, waiting, slow):
            return 1 / run(server, sink, load).end_to_end

    try:
        yield seconds
    finally:
        server.stop()
        sink.stop()


class _Open(Ours):
    def prepare(self) -> None:
        each = ("access", "max_connections_per_address")
        more = {("filter", "sender_domain"): "no", each: str(2 * _WAITING)}
        self.server.set_all({("listener smtp", "address"): "0.0.0.0", **more})


@contextlib.contextmanager
def _waiting(port: int, number: int, slow: FakeFilter | None) -> Iterator[None]:
    """Strangers, each of which waits for the answer to RCPT, because the milter does not answer."""
    before = _asked(slow)
    with contextlib.ExitStack() as stack:
        for _ in range(number):
            client = stack.enter_context(socket.create_connection((own_address(), port), 20))
            file = stack.enter_context(client.makefile("rwb"))
            for line in ("", f"HELO {CLIENT}", f"MAIL FROM:<x@{CLIENT}>"):
                file.write(f"{line}\r\n".encode() if line else b"")
                file.flush()
                file.readline()
            client.sendall(f"RCPT TO:<joe@{DOMAIN}>\r\n".encode())
        until(lambda: _asked(slow) == before + number, 60, lambda: f"{_asked(slow) - before} of {number} wait")
        yield
    if slow is not None:
        _let_go(slow)


def _let_go(slow: FakeFilter) -> None:
    """Answer those that wait, and wait for their end: the next ones need their connections."""
    waiting = [each for each in slow.sockets if each.fileno() >= 0]
    for each in waiting:
        each.sendall(CONTINUE)
    until(lambda: all(each.fileno() < 0 for each in waiting), 60)


def _asked(slow: FakeFilter | None) -> int:
    """Return the number of recipients about which the milter was asked."""
    return sum(name == "R" for each in slow.connections for name, _ in each) if slow is not None else 0

"""One workload at one server, once: how fast, and what it took."""

import contextlib
import select
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.bench.peer import Peer
from tests.bench.processes import NOTHING, Times, pss_bytes, times
from tests.bench.sink import Sink
from tests.bench.workloads import Workload, commands

__all__ = ["Measured", "run"]

_DEADLINE_S = 60.0


@dataclass(slots=True)
class Measured:
    """Of one round: messages (deliveries for several recipients) a second accepted and end to end, and what it took.
    `per_idle`: octets of memory for each idle connection; `alone`: what end to end was right after, without the idle
    ones; `spent`: by the server and by the whole machine."""

    accepted: float
    end_to_end: float
    megabytes: float
    cpu_per_1000: float
    memory: int
    per_idle: float = 0.0
    alone: float = 0.0
    sessions: int = 0
    spent: Times = NOTHING
    problems: list[str] = field(default_factory=list)


@contextlib.contextmanager
def _idle_connections(port: int, count: int) -> Iterator[int]:
    """Connections that have their banner and say nothing; yields how many the server let in."""
    held: list[socket.socket] = []
    served = 0
    try:
        with contextlib.suppress(TimeoutError):  # nobody accepts any more
            while len(held) < count:
                held.append(socket.create_connection(("127.0.0.1", port), 5))
        for connection in held:
            connection.settimeout(10)
            try:
                served += connection.recv(200).startswith(b"220")
            except OSError:
                break
        yield served
    finally:
        for connection in held:
            connection.close()


def run(peer: Peer, sink: Sink, load: Workload) -> Measured:
    with contextlib.ExitStack() as stack:
        memory = pss_bytes(peer.roots())
        served = stack.enter_context(_idle_connections(peer.port, load.idle)) if load.idle else 0
        per_idle = (pss_bytes(peer.roots()) - memory) / load.idle if load.idle else 0.0
        if served < load.idle:
            problem = f"only {served} of {load.idle} idle connections were let in; not measured"
            return Measured(0, 0, 0, 0, pss_bytes(peer.roots()), per_idle, sessions=load.sessions, problems=[problem])
        relayed, refused = int(load.messages * load.relayed), int(load.messages * load.refused)
        local = (load.messages - relayed - refused) * load.recipients
        delivered, sent_on, before = peer.delivered(), sink.count(), times(peer.roots())
        started = time.monotonic()
        said = _send(peer, load, started)
        accepted = time.monotonic() - started
        while (arrived := (peer.delivered() - delivered if local else 0) + sink.count() - sent_on) < local + relayed:
            if time.monotonic() - started > _DEADLINE_S:
                break
            select.select((), (), (), 0.01)
        done = time.monotonic() - started
        handled, spent = arrived + refused, times(peer.roots()).since(before)
        measured = Measured(
            (local + relayed + refused) / accepted,
            handled / done,
            arrived * load.length / done / 1e6,
            (spent.user + spent.system) * 1000 / max(handled, 1),
            pss_bytes(peer.roots()),
            per_idle,
            sessions=load.sessions,
            spent=spent,
        )
        if said or arrived != local + relayed:
            measured.problems.append(f"{arrived} of {local + relayed} arrived; {said[-300:]}")
        return measured


def _send(peer: Peer, load: Workload, started: float) -> str:
    """Send it all; what the programs complained of."""
    with tempfile.TemporaryFile("w+") as errors:
        running = [subprocess.Popen(words, stderr=errors, stdout=errors) for words in commands(peer, load)]
        try:
            while any(each.poll() is None for each in running) and time.monotonic() - started < _DEADLINE_S:
                select.select((), (), (), 0.005)
        finally:
            for each in running:
                each.kill()
        failed = [each.wait() for each in running]
        errors.seek(0)
        return errors.read().strip() or ("" if not any(failed) else f"exit status {failed}")

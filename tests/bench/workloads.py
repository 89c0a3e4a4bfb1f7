"""What is sent, and how it is counted. Load is Postfix's smtp-source, which costs next to nothing itself."""

import contextlib
import os
import select
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.bench.peers import DOMAIN, Peer
from tests.bench.processes import cpu_seconds, pss_bytes
from tests.tools import need

__all__ = ["WORKLOADS", "Measured", "Sink", "Workload"]

_DEADLINE_S = 120.0


@dataclass(frozen=True, slots=True)
class Workload:
    """`deliveries` says how many copies of a message arrive; `relayed` that the sink gets them."""

    name: str
    title: str
    messages: int
    length: int = 4096
    sessions: int = 20
    recipients: int = 1
    kept: bool = False
    relayed: bool = False
    idle: int = 0


WORKLOADS = (
    Workload("W1", "a connection a message", 4000),
    Workload("W2", "kept connections", 6000, kept=True),
    Workload("W3", "1 MiB messages", 200, length=1024 * 1024),
    Workload("W4", "relayed to a sink", 2000, relayed=True),
    Workload("W5", "W1 beside 1,000 idle connections", 4000, idle=1000),
    Workload("W7", "50 local recipients", 200, recipients=50),
)


@dataclass(slots=True)
class Measured:
    """Of one round: messages (deliveries for several recipients) a second accepted and end to end, and what it took."""

    accepted: float
    end_to_end: float
    megabytes: float
    cpu_per_1000: float
    memory: int
    problems: list[str] = field(default_factory=list)


class Sink:
    """smtp-sink, which keeps nothing, with a count of what it got."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._process = subprocess.Popen(
            [need("smtp-sink"), "-u", "nobody", "-c", f"127.0.0.1:{port}", "1000"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert self._process.stdout is not None
        self._out = self._process.stdout
        os.set_blocking(self._out.fileno(), False)
        self._last = b""

    def count(self) -> int:
        """Messages since it was started; it writes `sess=… quit=… mesg=…` again and again."""
        with contextlib.suppress(BlockingIOError):
            self._last = ((self._out.read() or b"") or self._last)[-400:]
        parts = self._last.rpartition(b"mesg=")
        return int(parts[2].split()[0]) if parts[1] and parts[2].split() else 0

    def stop(self) -> None:
        self._process.kill()
        self._process.wait(10)


@contextlib.contextmanager
def idle_connections(port: int, count: int) -> Iterator[int]:
    """Connections that have their banner and say nothing; yields how many the server let in."""
    held = []
    served = 0
    try:
        for _ in range(count):
            connection = socket.create_connection(("127.0.0.1", port), 10)
            held.append(connection)
        for connection in held:
            connection.settimeout(5)
            with contextlib.suppress(OSError):
                served += connection.recv(200).startswith(b"220")
        yield served
    finally:
        for connection in held:
            connection.close()


def run(peer: Peer, sink: Sink, load: Workload) -> Measured:
    with contextlib.ExitStack() as stack:
        served = stack.enter_context(idle_connections(peer.port, load.idle)) if load.idle else 0
        counted = sink.count if load.relayed else peer.delivered
        before, cpu = counted(), cpu_seconds(peer.roots())
        wanted = load.messages * (1 if load.relayed else load.recipients)
        started = time.monotonic()
        said = subprocess.run(command(peer, load), capture_output=True, text=True, timeout=_DEADLINE_S)
        accepted = time.monotonic() - started
        while counted() - before < wanted and time.monotonic() - started < _DEADLINE_S:
            select.select((), (), (), 0.02)
        done = time.monotonic() - started
        arrived = counted() - before
        measured = Measured(
            wanted / accepted,
            arrived / done,
            arrived * load.length / done / 1e6,
            (cpu_seconds(peer.roots()) - cpu) * 1000 / max(arrived, 1),
            pss_bytes(peer.roots()),
        )
        if said.returncode or arrived != wanted:
            measured.problems.append(f"{arrived} of {wanted} arrived; smtp-source: {said.stderr.strip()[-200:]}")
        if served < load.idle:
            measured.problems.append(f"only {served} of {load.idle} idle connections were let in")
        return measured


def command(peer: Peer, load: Workload) -> list[str]:
    recipient = "someone@elsewhere.invalid" if load.relayed else f"joe@{DOMAIN}"
    words = [need("smtp-source"), "-s", str(load.sessions), "-m", str(load.messages), "-l", str(load.length)]
    words += ["-f", "a@client.test", "-M", "client.test"]
    if load.recipients > 1:
        words += ["-r", str(load.recipients)]
        recipient = f"u@{DOMAIN}"
    if load.kept:
        words.append("-d")
    return [*words, "-t", recipient, f"inet:127.0.0.1:{peer.port}"]

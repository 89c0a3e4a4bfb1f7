"""What has a bound whatever the load: the time to the first banner, and memory for big messages; and what TLS and
passwords cost by themselves."""

import ssl
import statistics
import time
from pathlib import Path
from typing import NamedTuple

from smtpd_classic.accounts.passwords import hash_password, verify
from tests.bench.logins import make_certificate
from tests.bench.measuring import run
from tests.bench.ours import Ours
from tests.bench.processes import peak_bytes
from tests.bench.sink import Sink
from tests.bench.workloads import Workload
from tests.instance import free_port

__all__ = ["Bounds", "bounds"]

_MIB, _BIG = 1024 * 1024, Workload("", "the largest messages", 40, length=25 * 1000 * 1000)
_STARTS, _HANDSHAKES, _PASSWORDS = 7, 200, 20


class Bounds(NamedTuple):
    """Medians, in seconds of the clock or of a processor, and octets of the largest process."""

    first_banner_s: float
    small_messages: int
    big_messages: int
    handshake_s: float
    password_s: float


def bounds(disk: Path) -> Bounds:
    server, sink = Ours(), Sink(free_port())
    server.start(disk / f"bounds-{time.monotonic_ns()}", sink.port)
    try:
        peaks = []
        for load in (_BIG.of_length(_MIB, 40), _BIG):
            run(server, sink, load)
            peaks.append(peak_bytes(server.roots()))
        starts = []
        for _ in range(_STARTS):
            server.server.stop()
            began = time.monotonic()
            server.server.start()
            starts.append(time.monotonic() - began)
    finally:
        server.stop()
        sink.stop()
    return Bounds(statistics.median(starts), peaks[0], peaks[1], _handshake_s(disk), _password_s())


def _handshake_s(folder: Path) -> float:
    """Processor time of the server's side of a full handshake."""
    make_certificate(folder)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(folder / "certificate.pem", folder / "key.pem")
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    return statistics.median(_one_handshake_s(server, client) for _ in range(_HANDSHAKES))


def _one_handshake_s(server: ssl.SSLContext, client: ssl.SSLContext) -> float:
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    here, there = server.wrap_bio(up, down, server_side=True), client.wrap_bio(down, up)
    spent, left = 0.0, [there, here]
    while left:
        for side in list(left):
            began = time.thread_time()
            try:
                side.do_handshake()
                left.remove(side)
            except ssl.SSLWantReadError:
                pass
            spent += time.thread_time() - began if side is here else 0.0
    return spent


def _password_s() -> float:
    stored = hash_password("secret word")
    found = []
    for _ in range(_PASSWORDS):
        began = time.thread_time()
        verify(stored, "secret word")
        found.append(time.thread_time() - began)
    return statistics.median(found)

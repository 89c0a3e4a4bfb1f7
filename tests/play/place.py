"""A network with the sink's hosts, a running server in it, and the means to send and to see what arrives."""

import itertools
import json
import os
import shutil
import smtplib
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from tests.bench.processes import pss_bytes
from tests.instance import Instance
from tests.peers.namespace import own_network
from tests.play.sink import BLACK_HOLES
from tests.tools import need

__all__ = ["Arrivals", "Place", "place", "sink_network"]

CLIENTS = 40
SENDER = "ann@example.test"
_numbers = itertools.count(1)


class Arrivals:
    """The events of the sink, which a thread reads as they are written."""

    def __init__(self, events: IO[bytes]) -> None:
        self._news = threading.Condition()
        self.got: dict[str, float] = {}
        self.copies = 0
        self.opened: dict[str, int] = {}
        self.open_now: dict[str, int] = {}
        self.most_open: dict[str, int] = {}
        self.ready = False
        threading.Thread(target=self._follow, args=(events,), daemon=True).start()

    def _follow(self, events: IO[bytes]) -> None:
        with events:
            for line in events:
                if line.endswith(b"\n"):  # else the sink was killed while it wrote
                    with self._news:
                        self._note(*json.loads(line))
                        self._news.notify_all()

    def wait(self, happened: Callable[[], bool], timeout_s: float) -> bool:
        """Wait until `happened` returns True, which is called after each event. Return False after the timeout."""
        with self._news:
            return self._news.wait_for(happened, timeout_s)

    def _note(self, when: float, event: str, ip: str, tag: str) -> None:
        if event == "got":
            self.copies += 1
            self.got.setdefault(tag, when)
        elif event == "open":
            self.opened[ip] = self.opened.get(ip, 0) + 1
            now = self.open_now[ip] = self.open_now.get(ip, 0) + 1
            self.most_open[ip] = max(self.most_open.get(ip, 0), now)
        elif event == "close":
            self.open_now[ip] -= 1
        else:
            self.ready = True


class Place:
    """The server, and a client that is trusted."""

    def __init__(self, server: Instance, arrivals: Arrivals) -> None:
        self.server = server
        self.arrivals = arrivals
        self.sent: dict[str, float] = {}
        self._clients = threading.local()

    def send(self, recipient: str, sender: str = SENDER, notify: str = "", size: int = 500) -> str:
        """Send a message over a kept connection; the tag by which it is known when it arrives."""
        tag = f"t{next(_numbers)}"
        client = self._connected()
        code, reply = client.mail(sender)
        assert code == 250, reply
        code, reply = client.rcpt(recipient, [f"NOTIFY={notify}"] if notify else [])
        assert code == 250, reply
        code, reply = client.data(f"From: {SENDER}\r\nX-Tag: {tag}\r\nSubject: play\r\n\r\n{'x' * 70}\r\n" + "x" * size)
        assert code == 250, reply
        self.sent[tag] = time.time()
        return tag

    def _connected(self) -> smtplib.SMTP:
        """Return the kept connection of this thread."""
        client: smtplib.SMTP | None = getattr(self._clients, "client", None)
        if client is None:
            client = self._clients.client = smtplib.SMTP("127.0.0.1", self.server.ports["smtp"], "client.test", 60)
            client.ehlo()
        return client

    def hang_up(self) -> None:
        """Close the connection of this thread."""
        self._connected().close()
        del self._clients.client

    def send_all(self, recipients: Sequence[str], sender: str = SENDER, notify: str = "") -> None:
        """Send a message to each over many connections: a look-up at RCPT may take two seconds."""

        def send(share: Sequence[str]) -> None:
            for each in share:
                self.send(each, sender, notify)
            self.hang_up()

        with ThreadPoolExecutor(CLIENTS) as pool:
            for done in [pool.submit(send, recipients[first::CLIENTS]) for first in range(CLIENTS)]:
                done.result()

    def latency(self, tag: str, timeout_s: float) -> float:
        """The seconds from the 250 to the arrival; `timeout_s` if it has not arrived by then."""
        left_s = self.sent[tag] + timeout_s - time.time()
        if not self.arrivals.wait(lambda: tag in self.arrivals.got, left_s):
            return timeout_s
        return max(self.arrivals.got[tag] - self.sent[tag], 0.0)

    def cpu_s(self) -> float:
        """The processor time that the server's processes have taken so far."""
        return sum(_cpu_s(pid) for pid in self.pids())

    def memory_mb(self) -> float:
        """The resident memory of all processes; pages that they share count once."""
        assert self.server.process is not None
        return pss_bytes([self.server.process.pid]) / 1024**2

    def pids(self) -> list[int]:
        assert self.server.process is not None
        return family(self.server.process.pid)


def family(pid: int) -> list[int]:
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
        children = [int(word) for word in file.read().split()]
    return [pid, *itertools.chain.from_iterable(family(child) for child in children)]


def _cpu_s(pid: int) -> float:
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        words = file.read().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def sink_network(folder: Path, delay_s: float = 0.0) -> Iterator[Arrivals]:
    """The calling thread is in the network then, and the programs that it starts."""
    with own_network():
        for words in (
            ("link", "add", "hole", "type", "veth", "peer", "name", "bottom"),
            ("address", "add", f"{BLACK_HOLES}.255.254/16", "dev", "hole"),
            ("link", "set", "hole", "arp", "off", "up"),
            ("link", "set", "bottom", "arp", "off", "up"),
        ):
            subprocess.run([need("ip"), *words], check=True, capture_output=True)
        command = [sys.executable, "-m", "tests.play.sink", str(delay_s)]
        with (folder / "sink-errors").open("w") as errors:
            sink = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors)
        assert sink.stdout is not None
        arrivals = Arrivals(sink.stdout)
        try:
            assert arrivals.wait(lambda: arrivals.ready, 20), (folder / "sink-errors").read_text()
            yield arrivals
        finally:
            sink.kill()
            sink.wait(10)


@contextmanager
def place(
    options: Mapping[str, Mapping[str, str]] | None = None, *, delay_s: float = 0.0, code: Path | None = None
) -> Iterator[Place]:
    """A started server in the sink's network; `options` are values by section and name."""
    folder = Path(tempfile.mkdtemp(prefix="play-"))
    folder.chmod(0o755)
    try:
        with sink_network(folder, delay_s) as arrivals:
            server = Instance(folder / "instance", code=code)
            text = "[trusted]\nhosts = 127.0.0.0/8\n"
            for section, values in (options or {}).items():
                text += f"[{section}]\n" + "".join(f"{name} = {value}\n" for name, value in values.items())
            server.set("server", "name_servers", "127.0.0.1")
            for name in ("max_connections", "max_connections_per_client"):
                server.run("config", "set", "access", name, "1000")
            with server.file.open("a", encoding="utf-8") as file:
                file.write(text)
            server.start()
            world = Place(server, arrivals)
            try:
                yield world
            finally:
                world.hang_up()
                _end(server)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _end(server: Instance) -> None:
    """Stop it; with hundreds of silent hosts in delivery it is not asked twice."""
    assert server.process is not None
    server.process.terminate()
    try:
        server.process.wait(2)
    except subprocess.TimeoutExpired:
        for pid in reversed(family(server.process.pid)):
            os.kill(pid, 9)
        server.process.wait(10)
    server.process = None

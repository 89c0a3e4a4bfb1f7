"""W9: mail to many destinations, some of them dead, silent or slow; Postfix in the same run.

    python -m tests.bench.destinations [--variants a,b,c,d] [--peers …] [--messages 5000]
    [--threads 40]

500 destinations, messages of 4 KiB by Zipf's law, 50 ms a reply; hosts and name server are in a network namespace.
While the backlog lasts, messages to idle destinations that were never contacted are sent.
"""

import argparse
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Protocol

from tests.bench.peer import DOMAIN, answers
from tests.bench.processes import pss_bytes, times
from tests.instance import Instance, free_port
from tests.peers.name_server import resolving
from tests.play.place import Arrivals, sink_network
from tests.play.sink import domain_of
from tests.tools import need
from tests.waiting import until

__all__ = ["VARIANTS", "Result", "measure", "results", "table"]

DESTINATIONS, REPLY_S, LENGTH = 500, 0.05, 4096
SESSIONS, FRESH, FRESH_EVERY_S = 8, 10, 0.5
DEADLINE_S = 180.0
VARIANTS: Mapping[str, Mapping[str, float]] = {
    "a": {},
    "b": {"blackhole": 0.10},
    "c": {"greeting": 0.05, "slow": 0.05},
    "d": {"blackhole": 0.10, "greeting": 0.05, "slow": 0.05},
}
_ROOT = Path(__file__).parents[2]


class Server(Protocol):
    name: str
    port: int

    def start(self, folder: Path) -> None: ...
    def stop(self) -> None: ...
    def roots(self) -> list[int]: ...


class Ours:
    name = "smtpd-classic"
    code = _ROOT / ".compiled"
    options = ""  # lines of [remote]

    def start(self, folder: Path) -> None:
        self._server = Instance(folder / "instance", DOMAIN, self.code)
        self._server.set("server", "name_servers", "127.0.0.1")
        with self._server.file.open("a", encoding="utf-8") as file:
            file.write(f"[trusted]\nhosts = 127.0.0.0/8\n[remote]\n{self.options}")
        self._server.start()
        self.port = self._server.ports["smtp"]

    def stop(self) -> None:
        assert self._server.process is not None
        self._server.process.terminate()
        self._server.process.wait(60)

    def roots(self) -> list[int]:
        assert self._server.process is not None
        return [self._server.process.pid]


class Interpreted(Ours):
    name = "smtpd-classic interpreted"
    code = _ROOT


class Postfix:
    """As shipped, with every destination looked up in DNS."""

    name = "Postfix"

    def start(self, folder: Path) -> None:
        self.port = free_port()
        self._folder = folder
        for each in ("config", "queue", "data"):
            (folder / each).mkdir(parents=True)
        shutil.chown(folder / "data", "postfix")
        (folder / "resolv.conf").write_text("nameserver 127.0.0.1\n")
        (folder / "config" / "main.cf").write_text(
            f"compatibility_level = 3.6\nqueue_directory = {folder}/queue\ndata_directory = {folder}/data\n"
            "command_directory = /usr/sbin\ndaemon_directory = /usr/lib/postfix/sbin\nmail_owner = postfix\n"
            "setgid_group = postdrop\ninet_interfaces = 127.0.0.1\ninet_protocols = ipv4\n"
            f"myhostname = mx.{DOMAIN}\nmydestination =\nmynetworks = 127.0.0.0/8\nalias_maps =\nrelayhost =\n"
            f"maillog_file = {folder}/log\nmaillog_file_prefixes = {folder}\nsmtpd_client_connection_count_limit = 0\n",
            encoding="utf-8",
        )
        services = Path("/usr/share/postfix/master.cf.dist").read_text(encoding="utf-8").splitlines()
        lines = [line for line in services if not line.startswith("smtp      inet")]
        lines.append(f"127.0.0.1:{self.port} inet n - n - - smtpd")
        text = "\n".join(lines).replace("  y   ", "  n   ") + "\n"
        (folder / "config" / "master.cf").write_text(text, encoding="utf-8")
        self._control("start")
        until(lambda: answers(self.port), 20, (folder / "log").read_text)

    def stop(self) -> None:
        self._control("stop")

    def roots(self) -> list[int]:
        return [int((self._folder / "queue" / "pid" / "master.pid").read_text())]

    def _control(self, word: str) -> None:
        command = resolving(self._folder, need("postfix"), "-c", self._folder / "config", word)
        subprocess.run(command, check=True, capture_output=True)


PEERS: tuple[Callable[[], Server], ...] = (Ours, Interpreted, Postfix)


@dataclass(slots=True)
class Result:
    """Of one variant at one server. Times are seconds since the first message was sent."""

    accepted_s: float = 0.0
    out_95_s: float = 0.0
    rate: float = 0.0
    first_of_all_s: float = 0.0  # since the last message was accepted: every living destination has one
    connections: float = 0.0
    cpu_per_1000: float = 0.0
    megabytes: float = 0.0
    fresh: list[float] = field(default_factory=list)
    missing: int = 0


class Message(NamedTuple):
    tag: str
    domain: str
    living: bool


def plan(variant: str, number: int) -> list[Message]:
    """The same for every server: destinations by Zipf's law, the bad ones at random ranks."""
    dice = random.Random(9)
    kinds: list[str] = []
    for behaviour, share in VARIANTS[variant].items():
        kinds += [behaviour] * int(DESTINATIONS * share)
    kinds += ["good"] * (DESTINATIONS - len(kinds))
    dice.shuffle(kinds)
    weights = [1 / rank for rank in range(1, DESTINATIONS + 1)]
    ranks = [*range(DESTINATIONS), *dice.choices(range(DESTINATIONS), weights, k=number - DESTINATIONS)]
    dice.shuffle(ranks)
    return [
        Message(f"m{place}", domain_of(kinds[rank], rank), kinds[rank] in {"good", "slow"})
        for place, rank in enumerate(ranks)
    ]


class Client:
    """One kept connection that pipelines (RFC 2920)."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), 60)
        self._file = self._socket.makefile("rb")
        self._reply()
        self._socket.sendall(b"EHLO client.test\r\n")
        self._reply()

    def send(self, tag: str, domain: str) -> None:
        self._socket.sendall(f"MAIL FROM:<a@client.test>\r\nRCPT TO:<bob@{domain}>\r\nDATA\r\n".encode())
        for expected in (b"250", b"250", b"354"):
            assert self._reply().startswith(expected)
        head = f"From: <a@client.test>\r\nX-Tag: {tag}\r\nSubject: bench\r\n\r\n".encode()
        line = b"X" * 78 + b"\r\n"
        self._socket.sendall(head + line * ((LENGTH - len(head)) // len(line)) + b".\r\n")
        assert self._reply().startswith(b"250")

    def _reply(self) -> bytes:
        while (line := self._file.readline())[3:4] == b"-":
            pass
        return line


class _Run:
    def __init__(self, server: Server, arrivals: Arrivals, messages: list[Message]) -> None:
        self._server, self._arrivals, self._messages = server, arrivals, messages
        self.result = Result()

    def run(self) -> Result:
        before = times(self._server.roots())
        start = time.time()
        self._inject()
        accepted = time.time()
        self.result.accepted_s = accepted - start
        fresh: dict[str, float] = {}
        client = Client(self._server.port)
        living = [each.tag for each in self._messages if each.living]
        while time.time() - start < DEADLINE_S:
            time.sleep(0.02)
            now = time.time()
            if len(fresh) < FRESH and now - accepted >= len(fresh) * FRESH_EVERY_S:
                tag = f"f{len(fresh)}"
                client.send(tag, domain_of("good", 1000 + len(fresh)))
                fresh[tag] = time.time()
                self.result.megabytes = max(self.result.megabytes, pss_bytes(self._server.roots()) / 1024**2)
            if len(fresh) == FRESH and self._is_out(living, fresh):
                break
        spent = times(self._server.roots()).since(before)
        self._sum_up(start, accepted, living, fresh)
        handled = len(self._messages) + FRESH
        self.result.cpu_per_1000 = (spent.user + spent.system) / handled * 1000
        return self.result

    def _inject(self) -> None:
        def send(share: list[Message]) -> None:
            client = Client(self._server.port)
            for each in share:
                client.send(each.tag, each.domain)

        threads = [threading.Thread(target=send, args=(self._messages[n::SESSIONS],)) for n in range(SESSIONS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _is_out(self, living: list[str], fresh: Mapping[str, float]) -> bool:
        got = self._arrivals.got
        return sum(tag in got for tag in living) >= 0.95 * len(living) and all(tag in got for tag in fresh)

    def _sum_up(self, start: float, accepted: float, living: list[str], fresh: Mapping[str, float]) -> None:
        got, result = self._arrivals.got, self.result
        arrived = sorted(got[tag] for tag in living if tag in got)
        wanted = int(0.95 * len(living))
        result.missing = max(wanted - len(arrived), 0)
        result.out_95_s = arrived[wanted - 1] - start if not result.missing else DEADLINE_S
        result.rate = wanted / result.out_95_s
        result.fresh = [got.get(tag, time.time()) - sent for tag, sent in fresh.items()]
        firsts: dict[str, float] = {}
        for each in self._messages:
            if each.living and "slow" not in each.domain:
                firsts[each.domain] = min(firsts.get(each.domain, 1e12), got.get(each.tag, time.time()))
        result.first_of_all_s = max(firsts.values()) - accepted
        result.connections = sum(self._arrivals.opened.values()) / max(len(got), 1)


def measure(maker: Callable[[], Server], variant: str, number: int) -> Result:
    with _place() as (folder, arrivals):
        server = maker()
        server.start(folder / "server")
        try:
            return _Run(server, arrivals, plan(variant, number)).run()
        finally:
            server.stop()


@contextmanager
def _place() -> Iterator[tuple[Path, Arrivals]]:
    folder = Path(tempfile.mkdtemp(prefix="destinations-", dir="/var/tmp"))
    folder.chmod(0o755)
    try:
        with sink_network(folder, REPLY_S) as arrivals:
            yield folder, arrivals
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def results(scale: float) -> dict[tuple[str, str], Result]:
    """Measure all variants at this server and at Postfix."""
    number = max(int(5000 * scale), DESTINATIONS)
    makers: dict[str, Callable[[], Server]] = {Ours.name: Ours, Postfix.name: Postfix}
    return {(variant, name): measure(maker, variant, number) for variant in VARIANTS for name, maker in makers.items()}


def table(found: Mapping[tuple[str, str], Result]) -> str:
    legend = "a: all alive; b: 10 % black holes; c: 5 % silent, 5 % slow (5 s a reply); d: both."
    columns = "95 % out s|a second|fresh p50 s|fresh max s|first of all s|connections a message|CPU s per 1,000|MB"
    lines = ["\n## W9: 500 destinations, 50 ms a reply\n", f"{legend} Of the messages to living destinations.\n"]
    lines += [f"|variant|server|{columns}|", "|---" * 10 + "|"]
    for (variant, name), each in found.items():
        fresh = sorted(each.fresh) or [0.0]
        out = f"{each.out_95_s:.1f}" if not each.missing else f"> {DEADLINE_S:.0f} ({each.missing} missing)"
        lines.append(
            f"| {variant} | {name} | {out} | {each.rate:.0f} | {fresh[len(fresh) // 2]:.2f} | {fresh[-1]:.2f} |"
            f" {each.first_of_all_s:.1f} | {each.connections:.2f} | {each.cpu_per_1000:.2f} | {each.megabytes:.0f} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.destinations", description=__doc__)
    parser.add_argument("--variants", default="a,b,c,d")
    parser.add_argument("--peers", default="smtpd-classic,Postfix")
    parser.add_argument("--messages", type=int, default=5000)
    parser.add_argument("--threads", type=int, default=0, help="delivery_threads, 0 for the default")
    args = parser.parse_args()
    if args.threads:
        Ours.options = f"delivery_threads = {args.threads}\n"
    found = {}
    for variant in args.variants.split(","):
        for maker in PEERS:
            name = maker.name  # type: ignore[attr-defined]
            if name in args.peers.split(","):
                found[variant, name] = measure(maker, variant, args.messages)
                print(f"{variant} {name}: {found[variant, name]}", file=sys.stderr, flush=True)
    print(table(found))


if __name__ == "__main__":
    main()

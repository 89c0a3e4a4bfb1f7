"""What is sent. Load is Postfix's smtp-source, which costs next to nothing itself, and our generator where that does
not do."""

import atexit
import os
import socket
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from tempfile import NamedTemporaryFile

from tests.bench.generator import Plan
from tests.bench.generator import command as generator
from tests.bench.peer import DOMAIN, Peer
from tests.mailauth.messages import signed, signing_key
from tests.tools import need

__all__ = ["CLIENT", "WHOLE", "WORKLOADS", "Workload", "commands", "own_address"]

CLIENT = "client.example"
_SENDER = f"a@{CLIENT}"
_ELSEWHERE = "someone@elsewhere.invalid"
_HERE = f"joe@{DOMAIN}"
_NOBODY = f"nobody.at.all@{DOMAIN}"


@dataclass(frozen=True, slots=True)
class Workload:
    """`recipients` says how many copies of a message arrive. `relayed` and `refused` are shares of the messages: the
    sink gets the one, nobody the other. `needs`: what a server must be able to do; `goal`: how many times as fast as
    Postfix this one is to be, `more_goals`: as others by their names; `part`: which part of our own
    rate in W1. `from_outside`: from an address of this machine that is not its loopback, so that the server sees a
    stranger. `signed`: with a signature of the sender's domain.
    """

    name: str
    title: str
    messages: int
    needs: frozenset[str] = frozenset({"local"})
    length: int = 4096
    sessions: int = 20
    recipients: int = 1
    kept: bool = False
    relayed: float = 0.0
    refused: float = 0.0
    idle: int = 0
    logs_in: bool = False
    signed: bool = False
    sender: str = _SENDER
    goal: float = 0.0
    more_goals: tuple[tuple[str, float], ...] = ()
    part: float = 0.0
    from_outside: bool = False

    def scaled(self, factor: float, sessions: int = 0) -> "Workload":
        """As many times the messages, at least one a session; with that many sessions, unless it is 0."""
        sessions = sessions or self.sessions
        return replace(self, messages=max(int(self.messages * factor), sessions), sessions=sessions)

    def grown(self, factor: float, sessions: int) -> "Workload":
        """For so many sessions. Where each logs in once, it sends at least 40 messages, so that not the logins are
        compared."""
        if self.kept and self.logs_in:
            return replace(self, messages=max(int(factor * max(40 * sessions, 10_000)), sessions), sessions=sessions)
        return self.scaled(factor * (0.25 if sessions < 10 else 1.0), sessions)

    def of_length(self, length: int, messages: int) -> "Workload":
        return replace(self, messages=messages, length=length)


_KEPT, _SEVERAL = frozenset({"local", "kept"}), frozenset({"local", "several"})
_RELAY, _LOGIN = frozenset({"relay"}), frozenset({"login"})

WHOLE = "W1"  # of which others are to keep a part
WORKLOADS = (
    Workload(WHOLE, "a connection a message", 4000, goal=3),
    Workload("W2", "kept connections", 6000, _KEPT, kept=True, goal=4),
    Workload("W3", "1 MiB messages", 400, length=1024 * 1024, goal=1.2),
    Workload("W4", "relayed to a sink", 3000, _RELAY, relayed=1.0, goal=2),
    Workload("W5", "W1 beside 1,000 idle connections", 4000, idle=1000),
    Workload("W6a", "submission: handshake and login for each message", 600, _LOGIN, logs_in=True),
    Workload("W6b", "submission: kept connections", 4000, _LOGIN, kept=True, logs_in=True, goal=1.5),
    Workload("W7", "50 local recipients", 300, _SEVERAL, recipients=50, goal=3),
    Workload("W8", "70 % local, 20 % relayed, 10 % refused", 4000, _RELAY, relayed=0.2, refused=0.1, goal=2.5),
    Workload(
        "W10",
        "W1 with SPF, DKIM and DMARC checked",
        2000,
        frozenset({"checks"}),
        signed=True,
        goal=5,
        more_goals=(("Postfix+rspamd", 2.5),),
        part=0.65,
    ),
    Workload(
        "W11",
        "W4 signed with DKIM",
        2000,
        frozenset({"signs"}),
        relayed=1.0,
        sender=_HERE,
        goal=2.7,
    ),
    Workload("W12", "W1 with the whole SMTP filter", 4000, frozenset({"smtp filter"}), part=0.6, from_outside=True),
    Workload("W13", "W1 through rspamd as a milter", 1000, frozenset({"filter"})),
)


def commands(peer: Peer, load: Workload) -> list[list[str]]:
    """Programs to run side by side, which together send the workload."""
    if load.logs_in:
        login = peer.login
        assert login is not None
        plan = Plan(login.port, load.messages, load.sessions, load.length, login.name, _HERE)
        return [generator(replace(plan, login=login.name, password=login.password, kept=load.kept))]
    relayed, refused = int(load.messages * load.relayed), int(load.messages * load.refused)
    found = []
    for messages, recipient in ((load.messages - relayed - refused, _HERE), (relayed, _ELSEWHERE)):
        if messages:
            sessions = max(1, load.sessions * messages // load.messages)
            found.append(_source(peer.port, load, recipient, messages, sessions))
    if refused:
        sessions = max(1, load.sessions * refused // load.messages)
        found.append(generator(Plan(peer.port, refused, sessions, load.length, _SENDER, _NOBODY, refused=True)))
    return found


def _source(port: int, load: Workload, recipient: str, messages: int, sessions: int) -> list[str]:
    words = [need("smtp-source"), "-s", str(sessions), "-m", str(messages), "-f", load.sender, "-M", CLIENT]
    words += ["-F", str(_signed_message(load.length))] if load.signed else ["-l", str(load.length)]
    if load.recipients > 1:
        words += ["-r", str(load.recipients)]
        recipient = f"u@{DOMAIN}"
    if load.kept:
        words.append("-d")
    return [*words, "-t", recipient, f"inet:{own_address() if load.from_outside else '127.0.0.1'}:{port}"]


def own_address() -> str:
    """An address of this machine; nothing is sent to find it. Without a network it is that of the loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("198.51.100.1", 53))
        except OSError:
            return "127.0.0.1"
        return str(probe.getsockname()[0])


@cache
def _signed_message(length: int) -> Path:
    """The file of a message of the client's domain, with its signature."""
    header = f"From: {_SENDER}\nTo: {_HERE}\nSubject: signed\nDate: Sun, 22 Nov 2026 10:00:00 +0000\n".encode()
    body = b"0123456789abcdefghijklmnopqrstuvwxyz0123456789abcdefghijklmnopq\n" * (length // 64)
    file = NamedTemporaryFile(prefix="signed-", delete=False)
    with file:
        file.write(signed(header, body, signing_key(domain=CLIENT)))
    atexit.register(os.unlink, file.name)
    return Path(file.name)

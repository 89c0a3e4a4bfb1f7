"""A retry thread in a folder of its own: real spool, Maildirs, accounts and log; hosts and DNS as the test says."""

import itertools
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from smtpd_classic.accounts import Accounts
from smtpd_classic.config.load import parse
from smtpd_classic.dns import FixedResolver
from smtpd_classic.log import Log
from smtpd_classic.mailstore.store import MailStore
from smtpd_classic.retry import RetryThread, network_for
from smtpd_classic.runtime import Runtime
from smtpd_classic.services import Services
from spool import Envelope, NoSuchEntry, Recipient, Spool, SpoolBroken, State, new_queue_id
from tests.client.fake_host import FakeHost, RawHost
from tests.client.world import PATIENT, Clock
from tests.waiting import until

__all__ = ["JOE", "MESSAGE", "World", "running"]

JOE = "joe@us.test"
MESSAGE = b"From: joe@us.test\nTo: bob@example.org\nSubject: hello\nMessage-ID: <1@us.test>\n\nA line.\n"
_HASH = "{PLAIN}x"
_USERS = f"""\
joe@us.test:{_HASH}::::::
ann@us.test:{_HASH}::::::
root@us.test:{_HASH}::::::
full@us.test:{_HASH}::::::userdb_quota_rule=*:bytes=10
"""
_ALIASES = "postmaster: root@us.test\nsales: joe@us.test, ann@us.test\n"


class World:
    def __init__(
        self,
        folder: Path,
        *hosts: FakeHost | RawHost,
        text: str = "",
        mx: Mapping[str, Sequence[tuple[int, str]] | Exception] | None = None,
        addresses: Mapping[str, Sequence[str] | Exception] | None = None,
        aliases: str = _ALIASES,
        port: int = 0,
    ) -> None:
        """Each host is the only MX of a domain: example.org, second.example, third.example."""
        self.folder = folder
        self.clock = Clock()
        self.timeouts = PATIENT
        (folder / "users").write_text(_USERS)
        (folder / "users").chmod(0o600)
        (folder / "aliases").write_text(aliases)
        names = ("example.org", "second.example", "third.example")
        named = dict(zip(names, hosts, strict=False))
        found: dict[str, Any] = {name: [(10, f"mx.{name}")] for name in named}
        places: dict[str, Any] = {f"mx.{name}": [host.ip] for name, host in named.items()}
        self.resolver = FixedResolver(found | dict(mx or {}), places | dict(addresses or {}))
        self._port = port or (hosts[0].port if hosts else 25)
        self._text = text
        self.services = self._services()
        self.services.spool.make()
        self.services.runtime.make()
        self.thread: RetryThread | None = None
        self._numbers = itertools.count()

    def _services(self) -> Services:
        folder = self.folder
        server = (
            f"[server]\nprimary_domain = us.test\nspool_folder = {folder}/spool\nmail_folder = {folder}/mail\n"
            f"run_folder = {folder}/run\nlog = {folder}/log\n"
        )
        listener = "[listener smtp]\naddress = 192.0.2.1\nport = 25\n"
        config = parse(server + listener + self._text, str(folder / "smtpd-classic.conf"))
        log = Log(config.server.log)
        return Services(
            config=config,
            accounts=Accounts(config),
            dns=self.resolver,
            runtime=Runtime(config.server.run_folder),
            spool=Spool(config.server.spool_folder),
            mail_store=MailStore(config.server.mail_folder, "us.test"),
            log=log,
            clock=self.clock,
        )

    @property
    def spool(self) -> Spool:
        return self.services.spool

    def start(self) -> None:
        network = replace(network_for(self.services), timeouts=self.timeouts, smtp_port=self._port)
        self.thread = RetryThread(self.services, network=network, chance=random.Random(1).random)
        self.thread.start()

    def stop(self) -> None:
        if self.thread is not None:
            assert self.thread.stop(10.0), "a delivery thread did not end"
            self.thread = None

    def close(self) -> None:
        self.services.log.close()
        self.services.runtime.counters.close()

    def put(self, *recipients: str | Recipient, sender: str = JOE, content: bytes = MESSAGE, **more: Any) -> str:
        """A message in the queue, of which nobody has been told yet."""
        each = tuple(Recipient(one) if isinstance(one, str) else one for one in recipients)
        # No two messages come in the same microsecond, though this clock stands still.
        with self.spool.draft(new_queue_id(self.clock.now + next(self._numbers) / 1_000_000)) as draft:
            draft.write(content)
            return draft.commit(Envelope(sender, each, client="client[192.0.2.7]", **more), self.clock.now)

    def send(self, *recipients: str | Recipient, **more: Any) -> str:
        queue_id = self.put(*recipients, **more)
        assert self.services.runtime.wake(queue_id)
        return queue_id

    def later(self, seconds: float) -> None:
        """Let so much time pass."""
        self.clock.now += seconds
        assert self.services.runtime.wake("")

    def wait(self, seconds: float, happened: Callable[[], bool]) -> None:
        """Let time pass, so much at a time, until it has."""

        def passing() -> bool:
            if happened():
                return True
            self.later(seconds)
            return False

        until(passing, explain=self.log)

    def claimed(self, queue_id: str) -> bool:
        """Whether its attempt has begun."""
        return self.thread is not None and queue_id in self.thread._scheduler._open

    def throttled(self, queue_id: str) -> bool:
        """Whether it waits for its next hop."""
        return self.thread is not None and queue_id in self.thread._scheduler.throttled

    def gone(self, queue_id: str) -> None:
        until(lambda: self.state(queue_id) is None, explain=self.log)

    def tried(self, queue_id: str, attempts: int = 1) -> State:
        """The state after so many attempts."""

        def found() -> State | None:
            state = self.state(queue_id)
            return state if state is not None and state.attempts >= attempts else None

        state = until(found, explain=self.log)
        assert state is not None
        return state

    def state(self, queue_id: str) -> State | None:
        try:
            return self.spool.read(queue_id)[1]
        except (NoSuchEntry, SpoolBroken):
            return None

    def queue(self) -> list[str]:
        return sorted(each.queue_id for each in self.spool.list())

    def empty(self) -> None:
        until(lambda: not self.queue(), explain=self.log)

    def mailbox(self, address: str) -> list[bytes]:
        local, _, domain = address.partition("@")
        new = self.folder / "mail" / domain / local / "new"
        return [path.read_bytes() for path in sorted(new.iterdir())] if new.exists() else []

    def arrived(self, address: str, number: int = 1) -> list[bytes]:
        until(lambda: len(self.mailbox(address)) >= number, explain=self.log)
        return self.mailbox(address)

    def log(self) -> str:
        path = self.folder / "log"
        return path.read_text() if path.exists() else ""

    def lines(self, queue_id: str) -> list[str]:
        """What the log says of a message, without stamp and host."""
        return [line.split(": ", 1)[1] for line in self.log().splitlines() if f"{queue_id}:" in line]


@contextmanager
def running(folder: Path, *hosts: FakeHost | RawHost, **more: Any) -> Iterator[World]:
    world = World(folder, *hosts, **more)
    world.start()
    try:
        yield world
    finally:
        world.stop()
        world.close()
        for host in hosts:
            host.close()

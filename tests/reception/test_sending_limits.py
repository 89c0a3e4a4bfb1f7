"""Sending limits of a whole server with several processes: exact to the recipient, through reload and kill -9."""

import json
import os
import re
import signal
import smtplib
import threading
import time
from collections.abc import Iterator
from typing import Self

import pytest

from smtpd_classic.runtime import Runtime
from smtpd_classic.runtime.control import reload
from tests.client.fake_host import FakeHost, hosts
from tests.instance import Instance, running
from tests.waiting import until

ACCOUNTS = tuple(f"{name}@example.test" for name in ("joe", "ann", "bob"))
LIMIT = 60
TEXT = "From: {}\r\nSubject: hello\r\n\r\nA line.\r\n"


@pytest.fixture(name="peer")
def peer_of() -> Iterator[FakeHost]:
    with hosts(peer := FakeHost()):
        yield peer


@pytest.fixture(name="instance")
def instance_of(peer: FakeHost) -> Iterator[Instance]:
    with running() as instance:
        for address in ACCOUNTS[1:]:
            assert instance.run("user", "add", address, "--password-stdin", input="secret word").returncode == 0
        for section, option, value in (
            ("direct away.test", "hosts", f"{peer.ip}:{peer.port}"),
            ("server", "workers", "2"),
            ("limits", "recipients_per_hour", str(LIMIT)),
            ("limits", "new_recipients_per_day", "0"),
            ("basic", "require_own_sender", "no"),
        ):
            instance.set(section, option, value)
        instance.stop()
        instance.start()
        yield instance


def logged_in(instance: Instance, login: str) -> smtplib.SMTP:
    client = smtplib.SMTP("127.0.0.1", instance.ports["submission"], timeout=60)
    client.starttls(context=instance.tls())
    client.login(login, "secret word")
    return client


def counted(instance: Instance) -> dict[str, int]:
    rows = json.loads(instance.run("limits", "list", "--json").stdout)
    return {row["sender"]: row["hour"] for row in rows}


def held(instance: Instance) -> int:
    found = instance.run("queue", "list", "--json", "--reason", "over limit").stdout.splitlines()
    return sum(len(json.loads(line)["recipients"]) for line in found)


def test_the_limit_is_exact_to_the_recipient(instance: Instance, peer: FakeHost) -> None:
    """Six sessions of three accounts write to 80 recipients each; a reload and a kill change no number."""
    be_exact(instance, peer, LIMIT, [number % 3 + 1 for number in range(40)])


@pytest.mark.torture
def test_the_limit_is_exact_to_the_recipient_of_ten_thousand(instance: Instance, peer: FakeHost) -> None:
    instance.set("limits", "recipients_per_hour", "2000")
    instance.set("limits", "recipients_per_day", "0")
    reload(Runtime(str(instance.folder / "run")).status)
    sizes = [*(number % 17 + 1 for number in range(200)), *([1] * 60)]
    assert 6 * sum(sizes) >= 10_000
    be_exact(instance, peer, 2000, sizes)


def be_exact(instance: Instance, peer: FakeHost, limit: int, sizes: list[int]) -> None:
    """Write messages with so many recipients in six sessions of three accounts."""

    def write(login: str, session: int) -> None:
        with logged_in(instance, login) as client:
            for number, size in enumerate(sizes):
                recipients = [f"{session}-{number}-{each}@away.test" for each in range(size)]
                client.sendmail(login, recipients, TEXT.format(login))

    threads = [threading.Thread(target=write, args=(ACCOUNTS[each % 3], each)) for each in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sent = 6 * sum(sizes)
    # An account may end below its limit by what its next message had too many of; here a message of one fits at last.
    assert counted(instance) == dict.fromkeys(ACCOUNTS, limit)
    until(lambda: sum(len(got.recipients) for got in peer.got) == 3 * limit, 120, instance.log)
    assert held(instance) == sent - 3 * limit
    reload(Runtime(str(instance.folder / "run")).status)
    status = Runtime(str(instance.folder / "run")).status.running()
    assert status is not None
    for pid in status.children.values():
        os.kill(pid, signal.SIGKILL)
    instance.kill()
    instance.start()
    assert counted(instance) == dict.fromkeys(ACCOUNTS, limit)
    with logged_in(instance, ACCOUNTS[0]) as client:
        client.sendmail(ACCOUNTS[0], ["one@away.test", ACCOUNTS[1]], TEXT.format(ACCOUNTS[0]))
    assert held(instance) == sent - 3 * limit + 1
    assert sum(len(got.recipients) for got in peer.got) == 3 * limit
    alarms = [f"{account} {said} a sending limit" for account in ACCOUNTS for said in ("comes near", "has reached")]

    def told() -> bool:
        mail = "".join(path.read_text() for path in instance.mail("joe"))
        return sorted(re.findall("Subject: (.* a sending limit)", mail)) == sorted(alarms)

    until(told, 30, instance.log)


class Play:
    """Sessions of three accounts that go on after each kill. `accepted` are recipients whose message got its 250, and
    `doubtful` those of a message whose reply was lost, by account."""

    def __init__(self, instance: Instance, sizes: list[int]) -> None:
        self.instance = instance
        self.accepted: dict[str, set[str]] = {account: set() for account in ACCOUNTS}
        self.doubtful: dict[str, set[str]] = {account: set() for account in ACCOUNTS}
        self.written = threading.Semaphore(0)
        self._up = threading.Event()
        self._up.set()
        self._threads = [
            threading.Thread(target=self._session, args=(ACCOUNTS[each % 3], each, sizes)) for each in range(6)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for thread in self._threads:
            thread.join()

    def _session(self, login: str, session: int, sizes: list[int]) -> None:
        client: smtplib.SMTP | None = None
        for number, size in enumerate(sizes):
            recipients = [f"{session}-{number}-{each}@away.test" for each in range(size)]
            sending = False
            try:
                if client is None:
                    self._up.wait(60)
                    client = logged_in(self.instance, login)
                sending = True
                client.sendmail(login, recipients, TEXT.format(login))
                self.accepted[login].update(recipients)
            except (OSError, smtplib.SMTPException):
                if sending:
                    self.doubtful[login].update(recipients)
                if client is not None:
                    client.close()
                client = None
            self.written.release()
        if client is not None:
            client.close()

    def kill(self) -> None:
        """Kill all processes of the server at once, and start it again."""
        status = Runtime(str(self.instance.folder / "run")).status.running()
        assert status is not None
        assert self.instance.process is not None
        self._up.clear()
        for pid in (self.instance.process.pid, *status.children.values()):
            os.kill(pid, signal.SIGKILL)
        self.instance.kill()
        self.instance.start()
        self._up.set()


def be_exact_through_kills(instance: Instance, peer: FakeHost, limit: int, sizes: list[int], kills: int) -> None:
    with Play(instance, sizes) as play:
        for _ in range(kills):
            for _ in range(6 * len(sizes) // (kills + 1)):
                play.written.acquire()
            play.kill()
    for account in ACCOUNTS:  # messages of one recipient fill up the rest
        with logged_in(instance, account) as client:
            while counted(instance).get(account, 0) < limit:
                client.sendmail(account, [f"{account}-{time.monotonic_ns()}@away.test"], TEXT.format(account))
    assert counted(instance) == dict.fromkeys(ACCOUNTS, limit)
    until(lambda: not waiting(instance), 120, instance.log)
    sent = {address for got in peer.got for address in got.recipients}
    kept = held_addresses(instance)
    for number, account in enumerate(ACCOUNTS):
        mine = {each for each in sent if each.startswith((f"{number}-", f"{number + 3}-", account))}
        doubtful = play.doubtful[account]
        assert play.accepted[account] <= sent | kept, "no accepted recipient is lost"
        assert len(mine) <= limit <= len(mine) + len(doubtful), (account, len(mine), len(doubtful))


def waiting(instance: Instance) -> int:
    """Return the number of messages that are neither held nor delivered."""
    found = instance.run("queue", "list", "--json").stdout.splitlines()
    return sum(json.loads(line)["state"] != "held" for line in found)


def held_addresses(instance: Instance) -> set[str]:
    found = instance.run("queue", "list", "--json", "--reason", "over limit").stdout.splitlines()
    return {each["address"] for line in found for each in json.loads(line)["recipients"]}


def test_the_limit_is_exact_through_a_kill_in_the_middle(instance: Instance, peer: FakeHost) -> None:
    be_exact_through_kills(instance, peer, LIMIT, [number % 3 + 1 for number in range(20)], 1)


@pytest.mark.torture
def test_the_limit_of_ten_thousand_is_exact_through_kills_in_the_middle(instance: Instance, peer: FakeHost) -> None:
    instance.set("limits", "recipients_per_hour", "2000")
    instance.set("limits", "recipients_per_day", "0")
    reload(Runtime(str(instance.folder / "run")).status)
    sizes = [*(number % 17 + 1 for number in range(200)), *([1] * 60)]
    be_exact_through_kills(instance, peer, 2000, sizes, 6)


def test_a_stolen_account_is_stopped_and_the_office_works_on(instance: Instance, peer: FakeHost) -> None:
    """One login writes to 200 strangers: the limit passes, the rest is held, the postmaster knows, the others send."""
    with logged_in(instance, ACCOUNTS[2]) as thief:
        for number in range(200):
            thief.sendmail(ACCOUNTS[2], [f"victim{number}@away.test"], TEXT.format(ACCOUNTS[2]))
    with logged_in(instance, ACCOUNTS[1]) as ann:
        ann.sendmail(ACCOUNTS[1], ["customer@away.test", ACCOUNTS[2]], TEXT.format(ACCOUNTS[1]))
    until(lambda: sum(len(got.recipients) for got in peer.got) == LIMIT + 1, 30, instance.log)
    assert held(instance) == 200 - LIMIT
    subjects = (f"Subject: {ACCOUNTS[2]} comes near", f"Subject: {ACCOUNTS[2]} has reached a sending limit")

    def told() -> bool:
        mail = "".join(path.read_text() for path in instance.mail("joe"))
        return all(mail.count(subject) == 1 for subject in subjects)

    until(told, 30, instance.log)
    notices = [path.read_text() for path in instance.mail("bob") if "waits for the administrator" in path.read_text()]
    assert len(notices) == 1
    assert instance.run("queue", "delete", "--reason", "over limit").returncode == 0

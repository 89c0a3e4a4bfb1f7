"""Sending limits of a whole server with several processes: exact to the recipient, through reload and kill -9."""

import json
import os
import re
import signal
import smtplib
import threading
from collections.abc import Iterator

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

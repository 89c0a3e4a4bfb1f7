"""What no filter is asked about again, or at all, and what a filter costs on disk."""

import os
import smtplib
import ssl
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from smtpd_classic.milter.packets import packet
from smtpd_classic.smtp import events
from smtpd_classic.smtp.reply import Reply
from tests.client.fake_host import FakeHost
from tests.client.test_hosts import when
from tests.instance import Instance, running
from tests.milter.fake import CONTINUE, FakeFilter, add, options
from tests.milter.test_milters import SIZES, sent
from tests.reception.world import unchecked_world as world
from tests.waiting import until


@pytest.fixture
def made() -> Iterator[FakeFilter]:
    with closing(FakeFilter().listen()) as filter_:
        yield filter_


def submit(instance: Instance, recipient: str) -> None:
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    with smtplib.SMTP_SSL("127.0.0.1", instance.ports["submissions"], context=trusting) as client:
        client.login(instance.login, instance.password)
        client.sendmail(instance.login, [recipient], f"From: {instance.login}\nSubject: hello\n\nbody\n")


def messages(instance: Instance) -> list[str]:
    folder = instance.folder / "mail" / instance.domain / "joe" / "new"
    return [each.read_text() for each in folder.glob("*")] if folder.is_dir() else []


def test_no_filter_is_asked_about_our_own_notices(made: FakeFilter) -> None:
    refuses = when(events.RcptTo, Reply(550, "5.1.1", "Nobody here."))
    with closing(FakeHost(script=refuses)) as host:
        relay = {"remote__relay_always": "yes", "remote__relay_hosts": host.ip, "remote__relay_port": str(host.port)}
        milter = {"milter m0__address": made.address, "milter m0__for": "both"}
        with running(**relay, **milter) as instance:
            submit(instance, "friend@elsewhere.example")
            until(lambda: any("Nobody here" in each for each in messages(instance)), 30)
            assert [made.data("M", number)[0].split(b"\0")[0] for number in range(len(made.connections))] == [
                f"<{instance.login}>".encode()
            ]


def test_a_release_does_not_ask_the_filter_that_held_the_message(made: FakeFilter) -> None:
    made.answers["E"] = packet(b"q", b"looks bad\0") + CONTINUE
    with running(**{"milter m0__address": made.address, "milter m0__for": "both"}) as instance:
        submit(instance, instance.login)
        assert "looks bad" in instance.run("queue", "list").stdout
        done = instance.run("queue", "release", "--state", "held")
        assert done.returncode == 0, done.stderr
        until(lambda: messages(instance), 30)
        assert "Subject: hello" in messages(instance)[0]
    assert [made.commands(number).count("E") for number in range(len(made.connections))] == [1]


@pytest.mark.parametrize("content", SIZES)
def test_a_message_that_filters_change_costs_one_fsync(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made: FakeFilter, content: bytes
) -> None:
    made.answers["E"] = add("X-Spam", "Yes") + CONTINUE
    here = world(tmp_path, options(made))
    assert sent(here, content).startswith("250")  # the first message makes the mailbox, and syncs its folders
    synced, real = [], os.fsync

    def fsync(descriptor: int) -> None:
        synced.append(descriptor)
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    assert sent(here, content).startswith("250")
    assert len(synced) == 1

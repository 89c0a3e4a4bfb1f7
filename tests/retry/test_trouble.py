"""A full disk, files that cannot be read, code that breaks: what was sent is not sent again, and mail goes on."""

from pathlib import Path
from typing import Any

import pytest

import spool.claim
from smtpd_classic.accounts import AccountsUnreadable
from smtpd_classic.smtp.reply import Reply
from spool import SpoolBroken, SpoolFull
from tests.client.fake_host import FakeHost
from tests.client.test_hosts import by_recipient
from tests.retry.world import JOE, running
from tests.waiting import until

BOB, LATE, NOBODY = "bob@example.org", "late@example.org", "nobody@example.org"
SCRIPT = by_recipient(late=Reply(451, "4.7.1", "greylisted"), nobody=Reply(550, "5.1.1", "no such user"))


@pytest.mark.source
def test_what_a_full_disk_could_not_note_is_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host = FakeHost(script=SCRIPT)
    text = "[remote]\ndead_host_time = 0\n"

    def full(*_: Any) -> None:
        raise SpoolFull("no space left on device")

    with running(tmp_path, host, text=text) as world, monkeypatch.context() as patch:
        patch.setattr(spool.claim, "write_state", full)
        queue_id = world.send(BOB, LATE)
        until(lambda: world.log().count("status=deferred") == 1, explain=world.log)
        world.wait(1200, lambda: world.log().count("status=deferred") >= 2)
        assert [each.recipients for each in host.got] == [(BOB,)]
        assert "the state of the queue cannot be written" in world.log()
        patch.undo()
        world.wait(3600, lambda: (state := world.state(queue_id)) is not None and state.attempts > 0)
        state = world.tried(queue_id)
        assert [row.state for row in state.recipients] == ["delivered", "waiting"]
        assert [each.recipients for each in host.got] == [(BOB,)]


@pytest.mark.source
def test_a_bounce_that_cannot_be_queued_is_sent_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host = FakeHost(script=SCRIPT)
    with running(tmp_path, host) as world:

        def full(*_: Any) -> Any:
            raise SpoolFull("no space left on device")

        with monkeypatch.context() as patch:
            queue_id = world.put(NOBODY)
            patch.setattr(world.spool, "draft", full)
            assert world.services.runtime.wake(queue_id)
            state = world.tried(queue_id)
            assert [row.state for row in state.recipients] == ["waiting"]
            assert "a notification could not be queued" in world.log()
        world.later(3600)
        world.gone(queue_id)
        assert len(world.arrived(JOE)) == 1


@pytest.mark.source
def test_a_message_that_is_done_and_cannot_be_removed_is_not_sent_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = FakeHost()
    with running(tmp_path, host) as world:

        def broken(self: object) -> None:
            raise SpoolBroken("input/output error")

        with monkeypatch.context() as patch:
            patch.setattr(spool.claim.Claim, "remove", broken)
            queue_id = world.send(BOB)
            until(lambda: "cannot be removed" in world.log(), explain=world.log)
        world.wait(400, lambda: world.state(queue_id) is None)
    assert len(host.got) == 1


@pytest.mark.source
def test_accounts_that_cannot_be_read_defer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with running(tmp_path) as world:

        def unreadable(*_: Any) -> Any:
            raise AccountsUnreadable("users cannot be read")

        with monkeypatch.context() as patch:
            patch.setattr(world.services.accounts, "account", unreadable)
            queue_id = world.send("ann@us.test", "gone@us.test")
            state = world.tried(queue_id)
            assert [row.last_reply for row in state.recipients] == ["users cannot be read"] * 2
        world.later(1200)
        world.gone(queue_id)
        assert len(world.arrived("ann@us.test")) == 1
        assert b"gone@us.test" in world.arrived(JOE)[0]


@pytest.mark.source
def test_an_error_of_ours_defers_and_is_logged_and_everything_else_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = FakeHost()
    with running(tmp_path, host) as world:

        def wrong(*_: Any) -> Any:
            raise ZeroDivisionError("a bug")

        with monkeypatch.context() as patch:
            patch.setattr(world.services.mail_store, "incoming", wrong)
            queue_id = world.send("ann@us.test")
            state = world.tried(queue_id)
            assert state.recipients[0].enhanced == "4.3.0"
            assert "the attempt broke off: ZeroDivisionError: a bug" in world.log()
            world.gone(world.send(BOB))
        world.later(1200)
        world.gone(queue_id)


@pytest.mark.source
def test_a_spool_that_cannot_be_read_for_a_while_stops_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host = FakeHost()
    with running(tmp_path, host) as world:

        def broken(*_: Any) -> Any:
            raise SpoolBroken("too many open files")

        with monkeypatch.context() as patch:
            patch.setattr(world.spool, "claim", broken)
            queue_id = world.send(BOB)
            until(lambda: "too many open files" in world.log(), explain=world.log)
        world.wait(61, lambda: world.state(queue_id) is None)

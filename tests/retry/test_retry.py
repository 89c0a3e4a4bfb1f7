"""From the queue to the recipients: attempts, deferrals, expiry, and what is written down about them."""

from pathlib import Path

from smtpd_classic.smtp import events
from smtpd_classic.smtp.events import Event
from smtpd_classic.smtp.reply import Reply
from tests.client.fake_host import Answer, FakeHost, Talk
from tests.client.test_hosts import by_recipient, when
from tests.retry.world import JOE, MESSAGE, running
from tests.waiting import until

BOB = "bob@example.org"
PATIENT = "[remote]\ndead_host_time = 0\n"


def test_a_message_leaves_at_once_and_is_removed(tmp_path: Path) -> None:
    host = FakeHost()
    with running(tmp_path, host) as world:
        queue_id = world.send(BOB)
        world.gone(queue_id)
        assert host.envelopes == [(JOE, (BOB,))]
        assert host.got[0].content == MESSAGE
        assert not world.queue()


def test_what_was_queued_before_the_start_leaves_too(tmp_path: Path) -> None:
    host = FakeHost()
    with running(tmp_path, host) as world:
        world.stop()
        queue_id = world.put(BOB)
        world.start()
        world.gone(queue_id)
    assert host.envelopes == [(JOE, (BOB,))]


def test_a_deferred_recipient_is_tried_again_and_the_others_are_not(tmp_path: Path) -> None:
    answers = {"eve": Reply(450, "4.2.0", "greylisted")}

    def script(event: Event, talk: Talk) -> Answer | None:
        return by_recipient(**answers)(event, talk)

    host = FakeHost(script=script)
    with running(tmp_path, host) as world:
        queue_id = world.send(BOB, "eve@example.org", "nobody@second.example")
        state = world.tried(queue_id)
        assert [row.state for row in state.recipients] == ["delivered", "waiting", "failed"]
        assert state.recipients[1].last_reply == "450 4.2.0 greylisted"
        assert "450 4.2.0 greylisted" in state.transcript
        answers.clear()
        world.later(1)
        assert world.state(queue_id) == state
        world.later(16.6 * 60)
        world.gone(queue_id)
        assert host.envelopes == [(JOE, (BOB,)), (JOE, ("eve@example.org",))]
        assert len(world.arrived(JOE)) == 1, "one bounce, for the recipient whose domain does not exist"


def test_attempts_grow_apart_until_the_message_is_returned(tmp_path: Path) -> None:
    host = FakeHost(script=when(events.RcptTo, Reply(451, "4.3.0", "not now")))
    text = "[basic]\nretry_interval = 10m\nmax_retry_interval = 1h\nqueue_lifetime = 3h\ndelay_notice = 0\n"
    with running(tmp_path, host, text=text) as world:
        arrival = world.clock.now
        queue_id = world.send(BOB)
        attempts, waits = 0, []
        while (state := world.state(queue_id)) is not None:
            attempts += 1
            state = world.tried(queue_id, attempts)
            waits.append(round((state.next_attempt - world.clock.now) / 60, 1))
            world.later(state.next_attempt - world.clock.now + 0.001)
            if world.clock.now >= arrival + 3 * 3600:
                world.gone(queue_id)
        assert [9 <= waits[0] <= 11, 18 <= waits[1] <= 22, 36 <= waits[2] <= 44] == [True] * 3
        assert 0 <= world.clock.now - arrival - 3 * 3600 < 1, "the last attempt is made when the life time ends"
        bounce = world.arrived(JOE)[0]
        assert b"Status: 4.4.7" in bounce
        assert b"451 4.3.0 not now" in bounce
        assert "status=expired, returned to sender" in world.log()


def test_the_bounce_at_expiry_has_the_last_reply_of_a_host(tmp_path: Path) -> None:
    """It says more than our own words about the attempts after it."""
    host = FakeHost(script=when(events.RcptTo, Reply(451, "4.3.0", "not now")))
    text = "[basic]\nqueue_lifetime = 3h\ndelay_notice = 0\ncopy_bounces = none\n"
    with running(tmp_path, host, text=text) as world:
        queue_id = world.send(BOB)
        state = world.tried(queue_id)
        host.close()
        world.later(state.next_attempt - world.clock.now + 0.001)
        row = world.tried(queue_id, 2).recipients[0]
        assert "connection refused" in row.last_reply
        assert (row.remote_reply, row.remote_host) == ("451 4.3.0 not now", f"mx.example.org[{host.ip}]:{host.port}")
        world.later(3 * 3600)
        world.gone(queue_id)
        bounce = world.arrived(JOE)[0].decode()
    assert "\nStatus: 4.4.7\nRemote-MTA: dns; mx.example.org\nDiagnostic-Code: smtp; 451 4.3.0 not now\n" in bounce
    assert f"The mail server mx.example.org ({host.ip}) said:\n    451 4.3.0 not now\n" in bounce
    words, _, later = bounce.partition("The last attempt got no reply:\n")
    assert words
    last = " ".join(later.partition("\n\n")[0].split())
    assert last.endswith("connection refused (not tried again at once)")


def test_one_id_through_all_attempts_in_the_log(tmp_path: Path) -> None:
    answers = [Reply(451, "4.7.1", "greylisted")]
    host = FakeHost(script=lambda event, talk: answers[0] if answers and isinstance(event, events.RcptTo) else None)
    with running(tmp_path, host) as world:
        queue_id = world.send(BOB)
        world.tried(queue_id)
        answers.clear()
        world.later(17 * 60)
        until(lambda: f"{queue_id}: removed" in world.log())
        lines = world.lines(queue_id)
    place = f"mx.example.org[{host.ip}]"
    assert lines[0].startswith(f"{queue_id}: to=<{BOB}>, relay={place}:{host.port}, delay=0")
    assert lines[0].endswith(
        f"dsn=4.7.1, status=deferred (host {place} said: 451 4.7.1 greylisted (in reply to RCPT TO command))"
    )
    assert lines[1] == f"{queue_id}: from=<{JOE}>, size={len(MESSAGE)}, nrcpt=1 (queue active)"
    assert "delay=1020, delays=1020/" in lines[2]
    assert lines[2].endswith("dsn=2.0.0, status=sent (250 2.0.0 Queued as fake1)")
    assert lines[3:] == [f"{queue_id}: removed"]

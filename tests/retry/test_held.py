"""Messages on hold: their reasons, the end of their time, and the bound of the quarantine."""

from collections.abc import Callable
from pathlib import Path

import pytest

from smtpd_classic.counters.sender_limits import HOUR
from smtpd_classic.smtp.reply import Reply
from spool import WAITING, Envelope, Hold, NotClaimed, Recipient, State, new_queue_id
from spool.entry import APPROVAL, BY_HAND, QUARANTINE, UNDELIVERABLE
from spool.rows import rows
from tests.client.fake_host import FakeHost
from tests.client.test_hosts import by_recipient
from tests.retry.test_notices import BOB, NOBODY, parsed, refusing, text_of
from tests.retry.world import JOE, MESSAGE, World, running
from tests.waiting import until

DAY = 86_400.0
POSTMASTER = "root@us.test"
VIRUS = Hold(QUARANTINE, "clamd: Eicar")
STRANGER = "eve@elsewhere.test"


def put(world: World, hold: Hold, *recipients: str, sender: str = JOE, here: bool = False, at: float = 0.0) -> str:
    envelope = Envelope(sender, tuple(map(Recipient, recipients)), client="client[192.0.2.7]", originates_here=here)
    with world.spool.draft(new_queue_id(world.clock.now + at)) as draft:
        draft.write(MESSAGE)
        return draft.commit(envelope, world.clock.now + at, hold)


def when_free(act: Callable[[], object]) -> None:
    """Act once no other thread has the lock of the entry: a scan or an attempt has it for a moment."""

    def done() -> bool:
        try:
            act()
        except NotClaimed:
            return False
        return True

    until(done)


def test_the_reason_is_kept_and_shown(tmp_path: Path) -> None:
    world = World(tmp_path)
    queue_id, plain = put(world, VIRUS, BOB), put(world, Hold(), BOB)
    state = world.state(queue_id)
    assert state is not None
    assert (state.hold, state.quarantined) == (VIRUS._replace(since=world.clock.now), True)
    found = {row.queue_id: (row.state, row.hold_reason, row.hold_text) for row in rows(world.spool, world.spool.list())}
    assert found == {queue_id: ("held", "quarantine", "clamd: Eicar"), plain: ("held", "by hand", "")}
    world.close()


def test_a_release_ends_the_hold_and_remembers_the_quarantine() -> None:
    held = State(()).on_hold(VIRUS._replace(since=1000.0))
    released = held.released(1600.0)
    assert (released.hold, released.held_s, released.held_since, released.quarantined) == (None, 600.0, 0.0, True)
    again = released.on_hold(Hold(since=2000.0)).released(2001.0)
    assert (again.held_s, again.quarantined) == (601.0, True)
    assert not State(()).on_hold(Hold(BY_HAND)).quarantined


def test_a_release_of_a_refused_message_approves_it() -> None:
    refused = State(()).on_hold(Hold(APPROVAL, "sales")).decided(JOE, approved=False, now=1000.0)
    assert (refused.held, refused.decision) == (True, f"refused by {JOE}")
    assert refused.released(1001.0).decision == "approved by the administrator"
    assert not State(()).on_hold(Hold(BY_HAND)).released(1001.0).decision


def test_the_life_time_stands_still_during_a_hold(tmp_path: Path) -> None:
    """A message that was held for four days has its five days of tries left."""
    later = FakeHost(script=by_recipient(bob=Reply(451, "4.2.0", "later")))
    with running(tmp_path, later) as world:
        queue_id = put(world, Hold(), BOB)
        world.later(4 * DAY)
        when_free(lambda: world.spool.release(queue_id, now=world.clock.now))
        assert world.services.runtime.wake(queue_id)
        world.tried(queue_id, 1)
        world.clock.now += 2 * DAY
        when_free(lambda: world.spool.retry_now(queue_id))
        assert world.services.runtime.wake(queue_id)
        world.tried(queue_id, 2)
        assert b"delayed" in world.arrived(JOE)[0]
        world.clock.now += 3 * DAY
        when_free(lambda: world.spool.retry_now(queue_id))
        assert world.services.runtime.wake(queue_id)
        world.gone(queue_id)
        assert b"Action: failed\nStatus: 4.4.7" in world.arrived(JOE, 2)[-1]


def test_after_hold_time_a_message_is_returned_with_the_reason(tmp_path: Path) -> None:
    with running(tmp_path, FakeHost(), text="[limits]\nhold_time = 3d\n[basic]\ncopy_bounces = none\n") as world:
        queue_id = put(world, Hold(BY_HAND, "suspicious"), BOB, here=True)
        world.later(3 * DAY - 60)
        world.gone(world.send("sue@example.org"))
        assert queue_id in world.queue()
        world.later(61)
        world.gone(queue_id)
        bounce = world.arrived(JOE)[0]
        said = "The message was on hold (by hand: suspicious) and was not released within 3 days"
        assert said in " ".join(text_of(bounce).split())
        assert b"Action: failed\nStatus: 5.7.1" in bounce
        until(lambda: "status=expired, returned to sender (The message was on hold" in world.log(), explain=world.log)


@pytest.mark.parametrize("hold", [Hold(BY_HAND), Hold(APPROVAL, "sales")], ids=["by hand", "approval"])
def test_the_author_of_a_group_copy_is_told_of_its_end(tmp_path: Path, hold: Hold) -> None:
    """The owner of the group gets the bounces of delivery, and nothing about the hold; no member is named."""
    recipients = tuple(Recipient(each, original="staff@us.test") for each in (BOB, "sue@example.org"))
    envelope = Envelope("staff-bounces@us.test", recipients, originates_here=True, author=JOE)
    with running(tmp_path, FakeHost(), text="[limits]\nhold_time = 3d\n[basic]\ncopy_bounces = none\n") as world:
        with world.spool.draft(new_queue_id(world.clock.now)) as draft:
            draft.write(MESSAGE)
            queue_id = draft.commit(envelope, world.clock.now, hold)
        world.later(3 * DAY + 1)
        world.gone(queue_id)
        said = " ".join(text_of(world.arrived(JOE)[0]).split())
        assert "could not be delivered to <staff@us.test>" in said
        assert BOB not in said
        world.empty()


def test_a_hold_ended_before_its_time_is_forgotten(tmp_path: Path) -> None:
    with running(tmp_path, FakeHost()) as world:
        queue_id = put(world, Hold(), BOB)
        world.later(1)
        when_free(lambda: world.spool.release(queue_id, now=world.clock.now))
        assert world.services.runtime.wake(queue_id)
        world.gone(queue_id)
        world.later(6 * DAY)
        world.gone(world.send("sue@example.org"))
        assert world.mailbox(JOE) == []


def test_quarantined_mail_is_deleted_without_a_notice(tmp_path: Path) -> None:
    with running(tmp_path, FakeHost(), text="[filter]\nquarantine_time = 7d\n") as world:
        queue_id = put(world, VIRUS, BOB, sender=STRANGER)
        world.later(7 * DAY - 60)
        world.gone(world.send("sue@example.org"))
        assert queue_id in world.queue()
        world.later(61)
        world.gone(queue_id)
        world.empty()
        assert world.mailbox(POSTMASTER) == []
        said = f"{queue_id}: from=<{STRANGER}>, deleted without a notice: quarantine_time is over"
        until(lambda: said in world.log(), explain=world.log)


def test_a_full_quarantine_deletes_its_oldest(tmp_path: Path) -> None:
    """Each message has 90 octets and more: the limit has room for two."""
    size = 2 * len(MESSAGE) + 10
    with running(tmp_path, FakeHost(), text=f"[filter]\nquarantine_size = {size}\n") as world:
        other = put(world, Hold(), BOB, at=-30.0)
        ids = [put(world, VIRUS, BOB, sender=STRANGER, at=float(number)) for number in range(5)]
        world.later(10)
        until(lambda: world.queue() == [other, *ids[3:]], explain=world.log)
        until(lambda: "the quarantine is larger than quarantine_size" in world.log(), explain=world.log)
        assert world.mailbox(POSTMASTER) == []


@pytest.mark.parametrize("here", [False, True], ids=["of a stranger", "from here"])
def test_what_fails_after_a_release_never_reaches_a_stranger(tmp_path: Path, here: bool) -> None:
    """The postmaster gets the bounce of a stranger's message; a sender of this server gets an own one."""
    with running(tmp_path, refusing(), text="[basic]\ncopy_bounces = none\n") as world:
        queue_id = put(world, VIRUS, NOBODY, sender=JOE if here else STRANGER, here=here)
        world.later(1)
        when_free(lambda: world.spool.release(queue_id, now=world.clock.now))
        assert world.services.runtime.wake(queue_id)
        world.gone(queue_id)
        bounce = world.arrived(JOE if here else POSTMASTER)[0]
        world.empty()
        assert parsed(bounce)["To"] == (JOE if here else "postmaster@us.test")
        assert ("released from the quarantine" in " ".join(text_of(bounce).split())) is not here
        assert len(world.mailbox(JOE)) + len(world.mailbox(POSTMASTER)) == 1


def test_no_delay_and_no_success_notice_after_a_quarantine(tmp_path: Path) -> None:
    script = by_recipient(bob=Reply(451, "4.2.0", "later"))
    with running(tmp_path, FakeHost(script=script)) as world:
        recipients = (
            Recipient(BOB, frozenset({"SUCCESS", "DELAY"})),
            Recipient("sue@example.org", frozenset({"SUCCESS"})),
        )
        envelope = Envelope(STRANGER, recipients, client="client[192.0.2.7]")
        with world.spool.draft(new_queue_id(world.clock.now)) as draft:
            draft.write(MESSAGE)
            queue_id = draft.commit(envelope, world.clock.now, VIRUS)
        when_free(lambda: world.spool.release(queue_id, now=world.clock.now))
        world.later(5 * 3600)
        assert [each.state for each in world.tried(queue_id).recipients] == [WAITING, "delivered"]
        assert world.queue() == [queue_id]


def test_a_notice_that_cannot_be_returned_is_held_for_good(tmp_path: Path) -> None:
    """The postmaster's own mailbox refuses it: nothing is left but to hold it, and no time ends that."""
    aliases = "postmaster: chief@example.org\n"
    with running(tmp_path, refusing(chief=Reply(550, "5.1.1", "gone")), aliases=aliases) as world:
        queue_id = world.send("chief@example.org", sender="")
        until(lambda: (state := world.state(queue_id)) is not None and state.held, explain=world.log)
        state = world.state(queue_id)
        assert state is not None
        assert state.hold is not None
        assert state.hold.reason == UNDELIVERABLE
        world.later(100 * DAY)
        world.gone(world.send("sue@example.org"))
        assert world.queue() == [queue_id]


def test_a_refused_message_that_cannot_be_returned_is_held_for_good(tmp_path: Path) -> None:
    """The refusal is carried out once: the message stays as it is, and a release does not call it refused."""
    aliases = "postmaster: chief@example.org\n"
    with running(tmp_path, FakeHost(), aliases=aliases) as world:
        queue_id = put(world, Hold(APPROVAL, "sales"), "chief@example.org", sender="", here=True)
        when_free(lambda: world.spool.decide(queue_id, JOE, approved=False, now=world.clock.now))
        assert world.services.runtime.wake(queue_id)

        def hold() -> Hold | None:
            state = world.state(queue_id)
            return state.hold if state is not None else None

        until(lambda: (found := hold()) is not None and found.reason == UNDELIVERABLE, explain=world.log)
        state = world.state(queue_id)
        assert state is not None
        assert not state.decision
        assert not state.released(world.clock.now).decision


def test_a_release_counts_the_recipients_elsewhere_alone(tmp_path: Path) -> None:
    with running(tmp_path, FakeHost()) as world:
        queue_id = put(world, Hold(APPROVAL, "sales"), JOE, BOB, here=True)
        when_free(lambda: world.spool.release(queue_id, now=world.clock.now))
        assert world.services.runtime.wake(queue_id)
        world.gone(queue_id)
        assert world.services.counters.numbers("host 192.0.2.7", [HOUR])[HOUR].value == 1

"""Decisions by mail in the shared state: carried out once, read once, and gone when no server needs them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from smtpd_classic.retry.shared_decisions import SharedDecisions
from smtpd_classic.shared_state import SharedState
from smtpd_classic.shared_state.decisions import HandedDecision, hand_in
from spool import Envelope, Hold, Recipient, new_queue_id
from spool.entry import APPROVAL
from tests.retry.world import JOE, MESSAGE, World
from tests.waiting import until

APPROVED = f"approved by {JOE}"
SECTION = f"[approval sales]\nsenders = *@us.test\nmanagers = {JOE}\nby_mail = yes\n"
DAY_S = 86_400.0


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path, text=SECTION)
    yield made
    made.close()


def held(world: World) -> str:
    with world.spool.draft(new_queue_id(world.clock.now)) as draft:
        draft.write(MESSAGE)
        envelope = Envelope(JOE, (Recipient("bob@away.example"),), client="c[192.0.2.7]", originates_here=True)
        return draft.commit(envelope, world.clock.now, Hold(APPROVAL, "sales"))


def decided(shared: SharedState, queue_id: str, kept_s: float = DAY_S) -> bool:
    return hand_in(shared, HandedDecision(queue_id, "approve", JOE, ("sales",)), kept_s)


def decision_about(world: World, queue_id: str) -> str:
    state = world.state(queue_id)
    assert state is not None
    return state.decision


def waiting(shared: SharedState) -> int:
    return int(shared.ask(lambda client: client.hlen("smtpd-classic:decisions")))


def keys(shared: SharedState) -> int:
    return int(shared.ask(lambda client: client.dbsize()))


def whole_reads(shared: SharedState) -> int:
    found: dict[str, Any] = shared.ask(lambda client: client.info("commandstats"))
    return int(found.get("cmdstat_hgetall", {"calls": 0})["calls"])


def test_a_decision_is_removed_when_it_is_carried_out(world: World, shared: SharedState) -> None:
    decisions = SharedDecisions(world.services, shared)
    for _ in range(5):
        queue_id = held(world)
        assert decided(shared, queue_id)
        assert not decided(shared, queue_id)  # the first one counts
        decisions.once()
        state = world.state(queue_id)
        assert state is not None
        assert (state.decision, state.held) == (APPROVED, False)
        assert waiting(shared) == 0


def test_decisions_about_messages_that_are_gone_do_not_stay(world: World, shared: SharedState) -> None:
    decisions = SharedDecisions(world.services, shared)
    for number in range(50):
        assert decided(shared, f"GONE{number}", kept_s=0.3)
    assert (waiting(shared), keys(shared)) == (50, 2)
    decisions.once()
    until(lambda: keys(shared) == 0, 10)
    assert decided(shared, "GONE0")  # another decision is possible then


def test_each_decision_has_its_own_lifetime(world: World, shared: SharedState) -> None:
    """A decision that comes later does not keep the earlier ones."""
    lifetime_s = 4 * world.services.config.basic.max_retry_interval.total_seconds()
    long_ago = int(world_time(shared) - lifetime_s * 1000)
    shared.ask(lambda client: client.hset("smtpd-classic:decisions", "OLD", f"{long_ago} []"))
    assert decided(shared, "NEW")
    SharedDecisions(world.services, shared).once()
    assert shared.ask(lambda client: client.hkeys("smtpd-classic:decisions")) == ["NEW"]


def world_time(shared: SharedState) -> int:
    seconds, micros = shared.ask(lambda client: client.time())
    return int(seconds) * 1000 + int(micros) // 1000


def test_old_decisions_are_not_read_at_each_round(world: World, shared: SharedState) -> None:
    decisions = SharedDecisions(world.services, shared)
    decided(shared, "ELSEWHERE")
    at = world_time(shared)
    until(lambda: world_time(shared) > at, 5)  # one of the same millisecond is read twice
    decisions.once()
    before = whole_reads(shared)
    for _ in range(20):
        decisions.once()
    assert whole_reads(shared) == before
    queue_id = held(world)
    decided(shared, queue_id)
    decisions.once()
    assert decision_about(world, queue_id) == APPROVED


def test_a_message_that_comes_from_a_dead_server_is_decided_within_a_minute(world: World, shared: SharedState) -> None:
    decisions = SharedDecisions(world.services, shared)
    queue_id = held(world)
    path = Path(world.services.config.server.spool_folder) / "new" / queue_id
    away = path.with_name("away")
    path.rename(away)
    decided(shared, queue_id)
    decisions.once()
    away.rename(path)  # as “queue adopt” does
    decisions.once()
    world.clock.now += 61
    decisions.once()
    assert decision_about(world, queue_id) == APPROVED


def test_a_message_that_is_in_use_is_decided_at_the_next_round(world: World, shared: SharedState) -> None:
    decisions = SharedDecisions(world.services, shared)
    queue_id = held(world)
    decided(shared, queue_id)
    claim = world.spool.claim(queue_id)
    assert claim is not None
    with claim:
        decisions.once()
        assert waiting(shared) == 1
    decisions.once()
    assert waiting(shared) == 0

"""Sending Limits and the quarantine of SMTP Filter, from the screen to the wire."""

from smtpd_classic.config.option import options_of
from smtpd_classic.config.schema import Filter, Limits
from tests.client.fake_host import own_ip
from tests.waiting import until
from tests.wire.panel import options
from tests.wire.world import AWAY, JOE, World

LIMITS_PAGE, LIMITS = "Sending Limits", options("limits")
QUARANTINE_PAGE, QUARANTINE = "SMTP Filter", options("filter")


def test_every_option_has_a_test() -> None:
    names = [each.name for section in (Filter, Limits) for each in options_of(section)]
    assert [name for name in names if f"test_{name}" not in globals()] == []


def held(world: World) -> str:
    """Put a message on hold by hand. Return its id."""
    queue_id = world.send(AWAY)
    world.deferred(queue_id)
    assert world.command("queue", "hold", queue_id).returncode == 0
    return queue_id


def gone(world: World, queue_id: str) -> None:
    def scanned() -> bool:
        world.runtime.wake()
        return world.queued(queue_id) is None

    until(scanned, 20, world.log)


def test_hold_time(world: World) -> None:
    world.given({"direct away.test": {"hosts": f"{own_ip()}:9"}})
    queue_id = held(world)
    world.runtime.wake()
    row = world.queued(queue_id)
    assert row is not None
    assert (row["state"], row["hold_reason"]) == ("held", "by hand")
    world.panel.set(LIMITS_PAGE, LIMITS["hold_time"], "1s")
    gone(world, queue_id)
    assert "was on hold (by hand)" in " ".join(world.arrives("joe", queue_id, "was on hold").split())
    assert JOE in world.logged(queue_id, "status=expired, returned to sender (The message was on hold")


FORGED = {"authentication": {"check": "yes"}}


def quarantined(world: World) -> str:
    """Let a stranger send forged mail, to a mailbox and to an alias that leads elsewhere. Return the id of the held
    copy.
    """
    world.command("alias", "set", "away@example.test", AWAY)
    with world.client() as client:
        client.envelope("eve@quarantine.test", JOE, "away@example.test")
        assert client.content(world.text(world.tag(), "eve@quarantine.test")).startswith("250")
    line = world.log("held: junk is not forwarded").splitlines()[-1]
    return line.partition(": held:")[0].rpartition(" ")[2]


def test_quarantine_time(world: World) -> None:
    world.given(FORGED)
    queue_id = quarantined(world)
    world.runtime.wake()
    assert world.queued(queue_id) is not None
    world.panel.set(QUARANTINE_PAGE, QUARANTINE["quarantine_time"], "1s")
    gone(world, queue_id)
    world.logged(f"{queue_id}: from=<eve@quarantine.test>, deleted without a notice: quarantine_time is over")


def test_quarantine_size(world: World) -> None:
    world.given(FORGED)
    queue_id = quarantined(world)
    world.panel.set(QUARANTINE_PAGE, QUARANTINE["quarantine_size"], "10")
    gone(world, queue_id)
    world.logged(f"{queue_id}: from=<eve@quarantine.test>, deleted without a notice: the quarantine is full")

"""Dead, silent, slow and hostile hosts, and what a message to a good host notices of them."""

import time
from collections.abc import Mapping
from itertools import zip_longest

import pytest

from smtpd_classic.config.schema_remote import Remote
from tests.play.place import Place, place
from tests.play.sink import address_of, domain_of

FULL = {
    "blackhole": 200,
    "greeting": 50,
    "implicit": 50,
    "ehlo": 50,
    "tls": 50,
    "drip": 50,
    "mail": 50,
    "data": 50,
    "dot": 50,
    "nodns": 400,
}
SHORT = {
    "blackhole": 60,
    "greeting": 15,
    "implicit": 10,
    "ehlo": 10,
    "tls": 10,
    "drip": 10,
    "mail": 0,
    "data": 0,
    "dot": 0,
    "nodns": 80,
}
LATE = ("mail", "data", "dot")
MOST = Remote().max_connections_per_host


def options(counts: Mapping[str, int]) -> dict[str, dict[str, str]]:
    """The hosts of port 465 are named in sections of their own."""
    return {
        f"direct {domain_of('implicit', number)}": {"hosts": f"mx.{domain_of('implicit', number)}:465 ssl"}
        for number in range(counts["implicit"])
    }


def one_each(world: Place, counts: Mapping[str, int]) -> None:
    """A message to each of the hosts, of all kinds in turn."""
    kinds = ([domain_of(behaviour, number) for number in range(count)] for behaviour, count in counts.items())
    world.send_all([f"bob@{each}" for row in zip_longest(*kinds) for each in row if each is not None])


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(int(len(values) * share), len(values) - 1)]


def fresh_messages(world: Place, first: int, count: int, timeout_s: float) -> list[float]:
    """How long messages take to good hosts that were never contacted before."""
    hosts = (domain_of("good", number) for number in range(first, first + count))
    return [world.latency(world.send(f"bob@{host}"), timeout_s) for host in hosts]


def local_message(world: Place) -> float:
    before = len(world.server.mail())
    start = time.time()
    world.send(world.server.login)
    world.server.wait_for_mail(before + 1)
    return time.time() - start


def play(counts: Mapping[str, int], rounds: int, fresh: int) -> tuple[list[float], list[float]]:
    """Latencies of fresh and of local messages while the hosts of `counts` get one message each, again and again."""
    with place(options(counts)) as world:
        remote, local = [], []
        for number in range(rounds):
            one_each(world, counts)
            remote += fresh_messages(world, number * fresh, fresh, 60.0)
            local.append(local_message(world))
        print(
            f"fresh: p50 {percentile(remote, 0.5):.2f} s, p99 {percentile(remote, 0.99):.2f} s;"
            f" local: max {max(local):.2f} s; {world.cpu_s():.1f} s CPU, {world.memory_mb():.0f} MB"
        )
        for behaviour in counts:
            hosts = [address_of(behaviour, number) for number in range(counts[behaviour])]
            assert max((world.arrivals.most_open.get(ip, 0) for ip in hosts), default=0) <= MOST
        return remote, local


def test_two_hundred_dead_and_silent_hosts_keep_no_fresh_message_waiting() -> None:
    remote, local = play(SHORT, 1, 10)
    assert percentile(remote, 0.99) <= 2.0
    assert max(local) <= 1.0


@pytest.mark.torture
@pytest.mark.parametrize("late", [False, True], ids=["before MAIL", "at MAIL, DATA and dot too"])
def test_the_whole_play_keeps_no_fresh_message_waiting(late: bool) -> None:
    counts = {behaviour: count for behaviour, count in FULL.items() if late or behaviour not in LATE}
    remote, local = play(counts | ({} if late else dict.fromkeys(LATE, 0)), 10, 10)
    assert percentile(remote, 0.99) <= (30.0 if late else 2.0)
    assert max(local) <= 0.2


@pytest.mark.torture
def test_success_notices_to_silent_hosts_keep_no_fresh_message_waiting() -> None:
    with place() as world:
        for number in range(280):
            host = domain_of("greeting", number % 4)
            world.send(world.server.login, sender=f"stranger{number}@{host}", notify="SUCCESS")
        remote = fresh_messages(world, 0, 100, 60.0)
        local = local_message(world)
        print(f"fresh: p99 {percentile(remote, 0.99):.2f} s, max {max(remote):.2f} s; local {local:.2f} s")
    assert percentile(remote, 0.99) <= 2.0
    assert local <= 0.2


@pytest.mark.torture
def test_no_host_has_more_sessions_than_its_limit_during_reloads() -> None:
    limit = 3
    with place({"remote": {"max_connections_per_host": str(limit)}}, delay_s=0.2) as world:
        for number in range(400):
            world.send(f"user{number}@{domain_of('good', number % 4)}")
            if number % 20 == 0:
                world.server.reload()
        for tag in world.sent:
            assert world.latency(tag, 120.0) < 120.0
        assert max(world.arrivals.most_open.values()) <= limit, world.arrivals.most_open
        assert world.arrivals.copies == 400


@pytest.mark.torture
def test_mail_leaves_although_its_name_servers_need_four_seconds_an_answer() -> None:
    with place() as world:
        world.send_all([f"bob@{domain_of('slowdns', number)}" for number in range(50)])
        assert [tag for tag in world.sent if world.latency(tag, 30.0) >= 30.0] == []

"""The client of the shared state, and what several servers share through it, with Redis of Debian."""

import os
import subprocess
import sys
import threading
import time
from contextlib import closing
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest

from smtpd_classic.counters import Amount, FileCounterStore, Seen
from smtpd_classic.counters.shared_store import SharedCounterStore
from smtpd_classic.policy.greylist_memory import Sender, has_waited
from smtpd_classic.runtime import BlockRule, Blocks, Failures, NeighbourStates
from smtpd_classic.runtime.shared_blocks import SharedBlocks
from smtpd_classic.shared_state import SharedState, SharedStateDown
from smtpd_classic.shared_state.secrets import SecretMismatch, compare_secret
from tests.shared_state.redis_server import PATIENT_S, RedisServer
from tests.waiting import until

HOUR, DAY = 3600.0, 86_400.0
ANN = "account ann@example.org"


def node(shared: SharedState, folder: Path) -> SharedCounterStore:
    folder.mkdir(exist_ok=True)
    return SharedCounterStore(shared, FileCounterStore(str(folder)))


def hour(number: int, most: int = 0) -> Amount:
    return Amount("hour", number, HOUR, most)


def value(store: SharedCounterStore, name: str) -> int:
    return store.numbers(ANN, [name])[name].value


# --- texts


def test_the_first_text_is_kept_until_it_is_replaced(shared: SharedState) -> None:
    assert shared.text("greylist", "a") is None
    first = shared.keep_first("greylist", "a", "one", 60)
    assert (first.text, first.age_s, first.left_s) == ("one", 0.0, 60.0)
    assert shared.keep_first("greylist", "a", "two", 60).text == "one"
    shared.keep("greylist", "a", "three", 60)
    kept = shared.text("greylist", "a")
    assert kept is not None
    assert kept.text == "three"
    assert 59 < kept.left_s <= 60
    shared.forget("greylist", "a")
    assert shared.text("greylist", "a") is None


def test_no_name_is_a_key_and_every_key_has_a_lifetime(shared: SharedState, tmp_path: Path) -> None:
    shared.keep("verified", "bob@example.net", "250", 60)
    node(shared, tmp_path).take(ANN, [hour(1)], Seen(("bob@example.net",), DAY, Amount("new", 0, DAY)))
    keys = shared.ask(lambda client: client.keys("*"))
    assert len(keys) == 4
    assert [key for key in keys if not key.startswith("smtpd-classic:") or "ann" in key or "bob" in key] == []
    left = shared.ask(lambda client: {key: client.ttl(key) for key in keys})
    assert [key for key, left_s in left.items() if left_s <= 0] == []


# --- counters


def test_two_nodes_keep_one_limit_to_the_recipient(shared: SharedState, tmp_path: Path) -> None:
    nodes = [node(shared, tmp_path / name) for name in ("one", "two")]
    accepted: list[int] = []

    def send(store: SharedCounterStore) -> None:
        accepted.append(sum(not store.take(ANN, [hour(1, 200)]).over for _ in range(150)))

    threads = [threading.Thread(target=send, args=(each,)) for each in nodes for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(accepted) == 200
    assert [value(each, "hour") for each in nodes] == [200, 200]


def test_recent_values_cost_one_question_a_second_and_know_the_own_counts(shared: SharedState, tmp_path: Path) -> None:
    now = [time.time()]
    one, two = (
        SharedCounterStore(shared, FileCounterStore(str(tmp_path / name)), lambda: now[0]) for name in ("one", "two")
    )
    for each in (one, two):
        each.take(ANN, [hour(1)])
    assert one.recent_values(ANN, ["hour"]) == {"hour": 2}
    two.take(ANN, [hour(5)])
    before = questions(shared)
    assert one.recent_values(ANN, ["hour"]) == {"hour": 2}
    assert questions(shared) == before
    taken = one.take(ANN, [hour(1)])
    assert one.recent_values(ANN, ["hour"]) == {"hour": 8}
    one.give_back(taken)
    assert one.recent_values(ANN, ["hour", "day"]) == {"hour": 7, "day": 0}
    two.take(ANN, [hour(1)])
    now[0] += 1.0
    assert one.recent_values(ANN, ["hour"]) == {"hour": 8}
    one.forget(ANN, ["hour"])
    assert one.recent_values(ANN, ["hour"]) == {"hour": 0}


def questions(shared: SharedState) -> int:
    return int(shared.ask(lambda client: client.info("commandstats"))["cmdstat_evalsha"]["calls"])


def test_all_amounts_are_added_or_none_and_a_take_is_given_back(shared: SharedState, tmp_path: Path) -> None:
    one, two = node(shared, tmp_path / "one"), node(shared, tmp_path / "two")
    new = Amount("new", 0, DAY, 3)
    assert one.take(ANN, [hour(2)], Seen(("a", "b", "a"), DAY, new)).new == ("a", "b")
    taken = two.take(ANN, [hour(2, 100)], Seen(("b", "c", "d"), DAY, new))
    assert (taken.over, dict(taken.values), taken.added) == (("new",), {"hour": 2, "new": 2}, ())
    taken = two.take(ANN, [hour(2, 100)], Seen(("b", "c"), DAY, new))
    assert (taken.new, dict(taken.values)) == (("c",), {"hour": 4, "new": 3})
    two.give_back(taken)
    assert (value(one, "hour"), value(one, "new")) == (2, 2)
    assert one.take(ANN, [], Seen(("a", "c"), DAY, new)).new == ("c",)
    assert not one.take(ANN, [], Seen(("x", "y", "z"), DAY, new, grace_s=DAY)).over  # the first month warns


def test_texts_and_marks_of_one_node_are_those_of_the_other(shared: SharedState, tmp_path: Path) -> None:
    one, two = node(shared, tmp_path / "one"), node(shared, tmp_path / "two")
    one.put(ANN, "suspended", 1, 10 * 366 * DAY)
    one.write_text(ANN, "suspended", "by hand")
    assert (value(two, "suspended"), two.text(ANN, "suspended"), two.groups()) == (1, "by hand", [ANN])
    until_ = two.numbers(ANN, ["suspended"])["suspended"].until
    assert abs(until_ - time.time() - 10 * 366 * DAY) < 10
    two.forget(ANN, ["suspended"])
    assert (value(one, "suspended"), one.text(ANN, "suspended")) == (0, "")


# --- without an answer


def test_a_silent_server_costs_one_deadline_and_is_left_alone_then(tmp_path: Path) -> None:
    server = RedisServer(tmp_path)
    server.start()
    said: list[str] = []
    report = partial(NeighbourStates(str(tmp_path / "states")).report, "shared_state")
    state = SharedState(server.url, b"x" * 32, report=report, say=said.append, rest_s=0.3, deadline_s=0.5)
    store = node(state, tmp_path / "one")
    try:
        store.take(ANN, [hour(1)])
        assert said == []
        server.pause()
        began = time.monotonic()
        store.take(ANN, [hour(2)])
        assert 0.4 < time.monotonic() - began < 5.0
        began = time.monotonic()
        for _ in range(100):
            assert not store.take(ANN, [hour(1, 500)]).over
        assert time.monotonic() - began < 10.0  # no question: a hundred deadlines would be 50 s
        assert value(store, "hour") == 103
        assert store.take(ANN, [hour(400, 500)]).over == ("hour",)
        server.go_on()
        until(lambda: "answers again" in " ".join(said), 10)
        until(lambda: int(_shared_hour(state)) >= 103, 5)  # 2 more: the question that was never answered was asked
        assert len(said) == 2
    finally:
        state.close()
        server.stop()


def _shared_hour(state: SharedState) -> str:
    return str(state.ask(lambda client: client.hget(state.key("count", ANN), "n hour")) or 0)


def test_each_change_is_said_by_the_process_that_finds_it(tmp_path: Path) -> None:
    """A process that still waits for an answer finds the server down again, after another one has found it up."""
    server = RedisServer(tmp_path)
    server.start()
    said: list[str] = []
    report = partial(NeighbourStates(str(tmp_path / "states")).report, "shared_state")
    slow, quick = (
        SharedState(server.url, b"x" * 32, report=report, say=said.append, rest_s=rest_s, deadline_s=0.5)
        for rest_s in (2.0, 0.1)
    )
    try:
        quick.keep("greylist", "a", "b", 60)
        server.pause()
        for each in (slow, quick):
            with pytest.raises(SharedStateDown):
                each.text("greylist", "a")
        server.go_on()
        until(lambda: len(said) == 2, 10)
        server.pause()
        until(lambda: len(said) == 3, 10)
        server.go_on()
        until(lambda: len(said) == 4, 10)
        assert ["answers again" in each for each in said] == [False, True, False, True]
    finally:
        slow.close()
        quick.close()
        server.stop()


def test_a_full_server_is_none(tmp_path: Path) -> None:
    server = RedisServer(tmp_path, "--maxmemory", "1", "--maxmemory-policy", "noeviction")
    server.start()
    state = SharedState(server.url, b"x" * 32)
    try:
        with pytest.raises(SharedStateDown, match="maxmemory"):
            state.keep("greylist", "a", "b", 60)
        with pytest.raises(SharedStateDown, match="maxmemory"):
            state.text("greylist", "a")  # although it could be read: the server is down for all questions
    finally:
        state.close()
        server.stop()


def test_a_replica_is_none(tmp_path: Path) -> None:
    server = RedisServer(tmp_path, "--replicaof", "127.0.0.1", "1")
    server.start()
    said: list[str] = []
    try:
        with closing(SharedState(server.url, b"x" * 32, say=said.append, deadline_s=PATIENT_S)) as state:
            for _ in range(2):
                with pytest.raises(SharedStateDown):
                    state.keep("greylist", "a", "b", 60)
        assert len(said) == 1
        assert "this server counts by itself" in said[0]
    finally:
        server.stop()


def test_a_refused_question_is_said_as_such_and_concerns_no_other(shared: SharedState, tmp_path: Path) -> None:
    """A key that holds something else: its counts are those of this server, and all others stay shared."""
    said: list[str] = []
    states = NeighbourStates(str(tmp_path / "states"))
    report = partial(states.report, "shared_state")
    key = shared.key("count", ANN)
    with closing(
        SharedState(shared.address, shared.secret, report=report, say=said.append, deadline_s=PATIENT_S)
    ) as state:
        one, other = node(state, tmp_path / "one"), node(shared, tmp_path / "other")
        shared.ask(lambda client: client.set(key, "something else"))
        for _ in range(3):
            assert not one.take(ANN, [hour(1, 3)]).over
        assert one.take(ANN, [hour(1, 3)]).over == ("hour",)
        assert len(said) == 1
        assert said[0].startswith("the shared state refuses a question, which this server answers by itself: ")
        assert "WRONGTYPE" in said[0]
        one.take("account bob@example.org", [hour(2)])
        assert other.numbers("account bob@example.org", ["hour"])["hour"].value == 2
        found = states.read("shared_state")
        assert found is not None
        assert not found.is_down
        shared.ask(lambda client: client.delete(key))
        one.take(ANN, [hour(1)])
        assert value(other, "hour") == 1
    assert len(said) == 1


def test_a_password_is_sent_and_never_said(tmp_path: Path) -> None:
    server = RedisServer(tmp_path, "--requirepass", "very secret")
    server.start()
    try:
        with closing(SharedState(server.url, b"", password="wrong secret")) as state:
            with pytest.raises(SharedStateDown) as refused:
                state.ask(lambda client: client.ping())
            assert "wrong secret" not in str(refused.value)
        in_url = server.url.replace("//", "//:very%20secret@")
        with closing(SharedState(in_url, b"x", deadline_s=PATIENT_S)) as state:
            assert state.keep_first("greylist", "a", "b", 60).text == "b"
            assert "secret" not in state.address
        with closing(SharedState(server.url, b"x", password="very secret", deadline_s=PATIENT_S)) as state:
            assert state.text("greylist", "a") is not None
    finally:
        server.stop()


def test_greylisting_remembers_a_sender_exactly(shared: SharedState, tmp_path: Path) -> None:
    """The largest numbers differ in their last bit alone."""
    store = SharedCounterStore(shared, FileCounterStore(str(tmp_path)), kind="greylist")
    sender, other = (Sender("greylist 7", (1 << 52) - each) for each in (1, 2))
    now = time.time()
    assert not has_waited(store, sender, now, remember=True)
    assert not has_waited(store, sender, now + 200, remember=True)
    for later in (310, 320):
        assert has_waited(store, sender, now + later, remember=True)
        assert not has_waited(store, other, now + later, remember=False)


# --- failures and blocks


def test_failures_at_two_nodes_make_one_block(shared: SharedState, tmp_path: Path) -> None:
    rule = BlockRule(max_failures=4, window=timedelta(minutes=10), block_time=timedelta(hours=1))
    nodes = []
    for name in ("one", "two"):
        (tmp_path / name / "blocked").mkdir(parents=True)
        blocks = Blocks(str(tmp_path / name / "blocked"))
        failures = Failures(str(tmp_path / name / "failures"), blocks, rule, os.urandom(32))
        failures.share(shared)
        nodes.append((failures, blocks))
    (one, _), (two, blocks) = nodes
    assert [one.login("192.0.2.1", "ann", "a"), two.login("192.0.2.1", "ann", "b")] == [False, False]
    assert not two.login("192.0.2.1", "ann", "a")  # the same password at another node is the same failure
    assert [one.login("192.0.2.1", "ann", "c"), two.login("192.0.2.1", "ann", "d")] == [False, True]
    assert blocks.blocked("192.0.2.1")
    one.succeeded("192.0.2.2")
    assert [two.login("192.0.2.2", "bob", str(number)) for number in range(6)] == [False] * 6


def test_blocks_and_their_ends_are_the_same_on_all_nodes(shared: SharedState, tmp_path: Path) -> None:
    nodes = []
    for name in ("one", "two"):
        (tmp_path / name / "blocked").mkdir(parents=True)
        blocks = Blocks(str(tmp_path / name / "blocked"))
        nodes.append((blocks, SharedBlocks(blocks, shared)))
    (one, share_one), (two, share_two) = nodes

    def exchange() -> None:
        for share in (share_one, share_two, share_one):
            share.once()

    one.block("192.0.2.1", 100, "10 failed logins")
    two.block("2001:db8::7", 200, "by hand")
    exchange()
    assert [(each.ip, each.reason) for each in one.list()] == [
        ("2001:db8::", "by hand"),
        ("192.0.2.1", "10 failed logins"),
    ]
    assert [each.ip for each in two.list()] == ["2001:db8::", "192.0.2.1"]
    assert two.unblock("192.0.2.1")
    for _ in range(2):  # the second time from a new process, which knows the files alone
        exchange()
        assert [each.ip for each in one.list()] == [each.ip for each in two.list()] == ["2001:db8::"]
        share_one, share_two = SharedBlocks(one, shared), SharedBlocks(two, shared)
    one.block("2001:db8::7", 4000, "by hand")
    exchange()
    assert round(two.list()[0].until - one.list()[0].until) == 0
    shared.ask(lambda client: client.flushdb())  # a Redis without persistence was restarted
    exchange()
    assert [each.ip for each in one.list()] == [each.ip for each in two.list()] == ["2001:db8::"]


# --- secrets


def test_a_second_node_needs_the_secret_of_the_first(shared: SharedState, tmp_path: Path) -> None:
    one, two = tmp_path / "one" / "srs-secret", tmp_path / "two" / "srs-secret"
    for each in (one, two):
        each.parent.mkdir()
    assert not compare_secret(shared, str(one), register=True)
    one.write_text("a" * 64)
    assert compare_secret(shared, str(one), register=True)
    with pytest.raises(SecretMismatch, match="is missing, but there is one on"):
        compare_secret(shared, str(two), register=False)
    two.write_text("b" * 64)
    with pytest.raises(SecretMismatch, match="is another one than that of"):
        compare_secret(shared, str(two), register=True)
    two.write_text("a" * 64 + "\n")
    assert compare_secret(shared, str(two), register=True)


def test_redis_is_not_imported_without_a_question() -> None:
    code = (
        "import sys, smtpd_classic.services, smtpd_classic.daemon.sending, smtpd_classic.doctor;"
        "sys.exit('redis' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0

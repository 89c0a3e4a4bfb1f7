"""The connections to the shared state: names that are slow to resolve, TLS, passwords, Sentinel, Valkey."""

import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from smtpd_classic.shared_state import KeptText, SharedState, SharedStateDown
from smtpd_classic.shared_state.connections import redis_client
from smtpd_classic.shared_state.host_names import HostNames
from tests.instance import free_port
from tests.server.certificates import kept_pair
from tests.shared_state.redis_server import PATIENT_S, RedisServer, valkey
from tests.tools import need
from tests.waiting import until

SECRET = "very secret"


class Names:
    """A resolver that answers when the test lets it, with the loopback address or with a failure."""

    def __init__(self) -> None:
        self.answers = threading.Event()
        self.fails = False
        self.asked = 0

    def look_up(self, host: str, port: int, *_rest: int) -> list[Any]:
        self.asked += 1
        self.answers.wait(20)
        if self.fails:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return socket.getaddrinfo("127.0.0.1", port, 0, socket.SOCK_STREAM)


@pytest.fixture(scope="module", params=["redis", pytest.param("valkey", marks=pytest.mark.peers)])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """Redis, and Valkey of Debian 13, with a password and a port for TLS."""
    program = valkey() if request.param == "valkey" else ("redis-server",)
    folder = tmp_path_factory.mktemp("redis")
    certificate, key = kept_pair("localhost")
    tls = ("--tls-port", str(free_port()), "--tls-cert-file", certificate, "--tls-key-file", key)
    more = ("--tls-ca-cert-file", certificate, "--tls-auth-clients", "no")
    made = RedisServer(folder, "--requirepass", SECRET, *tls, *more, program=program)
    made.tls_port, made.certificate = int(tls[1]), certificate
    made.start()
    yield made
    made.stop()


def test_a_name_that_is_not_resolved_costs_one_deadline(server: RedisServer) -> None:
    names = Names()
    state = SharedState(
        f"redis://redis.test:{server.port}/0", b"x", password=SECRET, rest_s=0.1, names=HostNames(names.look_up)
    )
    try:
        began = time.monotonic()
        with pytest.raises(SharedStateDown, match=r"the name redis\.test was not resolved in 50 ms"):
            state.text("greylist", "a")
        assert 0.04 < time.monotonic() - began < 1.0
        until(lambda: names.asked == 1, 5)
        names.answers.set()
        until(lambda: is_up(state), 10)
        assert names.asked == 1  # one look-up at a time, however often the name is needed
    finally:
        names.answers.set()
        state.close()


def test_a_command_waits_for_a_name_that_is_slow(server: RedisServer) -> None:
    names = Names()
    answer = threading.Timer(0.2, names.answers.set)
    answer.start()
    patient = HostNames(names.look_up, patience_s=10.0)
    state = SharedState(f"redis://redis.test:{server.port}/0", b"x", password=SECRET, names=patient)
    try:
        assert is_up(state)
    finally:
        answer.join()
        state.close()


def is_up(state: SharedState) -> bool:
    return is_done(lambda: state.keep("greylist", "a", "b", 60))


def is_done(question: Callable[[], None]) -> bool:
    try:
        question()
    except SharedStateDown:
        return False
    return True


def test_a_name_that_does_not_exist_is_said_and_known_addresses_are_kept(server: RedisServer) -> None:
    names, now = Names(), [0.0]
    names.answers.set()
    names.fails = True
    known = HostNames(names.look_up, lambda: now[0])
    state = SharedState(f"redis://redis.test:{server.port}/0", b"x", password=SECRET, rest_s=0.1, names=known)
    try:
        with pytest.raises(SharedStateDown, match=r"the name redis\.test cannot be resolved: Name or"):
            state.text("greylist", "a")
        names.fails = False
        until(lambda: is_up(state), 10)
        names.fails, now[0] = True, 61.0  # the resolver is broken when the minute is over
        asked = names.asked
        assert known.addresses("redis.test", server.port, 5.0)
        until(lambda: names.asked > asked, 5)
        assert known.addresses("redis.test", server.port, 5.0)
    finally:
        state.close()


def test_a_fault_of_a_look_up_is_not_the_end_of_all_others() -> None:
    faults: list[Exception] = [UnicodeError("label too long"), KeyError("a")]

    def look_up(host: str, port: int, *_rest: int) -> list[Any]:
        if faults:
            raise faults.pop(0)
        return [("found",)]

    names = HostNames(look_up)
    for fault in ("UnicodeError: label too long", "KeyError: 'a'"):
        with pytest.raises(OSError, match=f"the name redis.test cannot be resolved: {fault}"):
            names.addresses("redis.test", 6379, 10.0)
    assert names.addresses("redis.test", 6379, 10.0) == [("found",)]


def test_a_closed_one_keeps_no_connection_and_makes_none(tmp_path: Path) -> None:
    """A reload closes it while a thread waits for an answer; that thread asks once more."""
    server = RedisServer(tmp_path)
    server.start()
    reported: list[str] = []

    def report(reason: str, took_s: float) -> bool:
        reported.append(reason)
        return bool(reason)

    state = SharedState(server.url, b"x", rest_s=0.1, report=report, deadline_s=PATIENT_S)
    try:
        with Redis(port=server.port) as watcher:
            assert is_up(state)
            before = len(watcher.client_list())
            server.pause()
            late = threading.Thread(target=is_up, args=(state,))
            late.start()
            until(lambda: server.port in _unanswered_ports(), 10)
            state.close()
            server.go_on()
            late.join()
            until(lambda: len(watcher.client_list()) == before - 1, 10)
            with pytest.raises(SharedStateDown, match="closed"):
                state.text("greylist", "a")
            assert len(watcher.client_list()) == before - 1
            assert set(reported) == {""}  # this is no failure of the server
    finally:
        state.close()
        server.stop()


def _unanswered_ports() -> set[int]:
    """The ports of this machine at which octets wait to be read, see proc_net(5)."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return {int(each[1].rpartition(":")[2], 16) for each in lines if int(each[4].rpartition(":")[2], 16)}


def over_tls(server: RedisServer, host: str) -> SharedState:
    names = Names()
    names.answers.set()
    url = f"rediss://{host}:{server.tls_port}/0?ssl_ca_certs={server.certificate}"
    return SharedState(url, b"x", password=SECRET, rest_s=0.1, names=HostNames(names.look_up), deadline_s=PATIENT_S)


def test_a_connection_with_tls_and_a_password(server: RedisServer) -> None:
    state = over_tls(server, "localhost")
    try:
        until(lambda: is_up(state), 10)
        assert state.text("greylist", "a") is not None
    finally:
        state.close()


def test_the_certificate_must_be_that_of_the_name(server: RedisServer) -> None:
    state = over_tls(server, "redis.test")
    try:
        with pytest.raises(SharedStateDown, match="certificate verify failed"):
            state.ask(lambda client: client.ping())
    finally:
        state.close()


def test_the_master_is_the_one_that_sentinel_names(server: RedisServer, tmp_path: Path) -> None:
    port = free_port()
    file = tmp_path / "sentinel.conf"
    file.write_text(
        f"port {port}\nbind 127.0.0.1\ndir {tmp_path}\n"
        f'sentinel monitor mail 127.0.0.1 {server.port} 1\nsentinel auth-pass mail "{SECRET}"\n'
    )
    names = Names()
    names.answers.set()
    url = f"sentinel://127.0.0.1:9,sentinel.test:{port}/mail/0"
    known = HostNames(names.look_up)
    state = SharedState(url, b"x", password=SECRET, rest_s=0.1, names=known, deadline_s=PATIENT_S)
    with subprocess.Popen([need("redis-server"), str(file), "--sentinel"], stdout=subprocess.DEVNULL) as process:
        try:
            until(lambda: is_up(state), 20)
            assert state.text("greylist", "a") is not None
        finally:
            state.close()
            process.terminate()


@pytest.mark.parametrize("place", ["redis://{}@h.test:1/2", "unix://{}@/run/r?db=2", "sentinel://{}@h.test:1/mail/2"])
@pytest.mark.parametrize(("login", "password"), [("anna:a%2Fb", ""), ("anna", "a/b"), (":a%2Fb", "")])
def test_each_form_of_the_address_has_its_login(place: str, login: str, password: str) -> None:
    made = redis_client(place.format(login), password, HostNames()).connection_pool.connection_kwargs
    expected = ("anna" if login.startswith("anna") else None, "a/b", 2)
    assert (made.get("username") or None, made["password"], made["db"]) == expected


@pytest.mark.peers
def test_the_new_master_is_used_after_a_failover(tmp_path: Path) -> None:
    """The master dies, Sentinel makes its replica the master, and what was kept is there."""
    servers = []
    for name in ("master", "replica"):
        (tmp_path / name).mkdir()
        servers.append(RedisServer(tmp_path / name, "--repl-diskless-sync-delay", "0"))
    master, replica = servers
    sentinel_port = free_port()
    file = tmp_path / "sentinel.conf"
    file.write_text(
        f"port {sentinel_port}\nbind 127.0.0.1\ndir {tmp_path}\nsentinel monitor mail 127.0.0.1 {master.port} 1\n"
        "sentinel down-after-milliseconds mail 500\nsentinel failover-timeout mail 5000\n"
    )
    said: list[str] = []
    state = SharedState(f"sentinel://127.0.0.1:{sentinel_port}/mail/0", b"x", rest_s=0.1, say=said.append)
    try:
        for each in servers:
            each.start()
        replica.ask("REPLICAOF", "127.0.0.1", str(master.port))
        until(lambda: info(replica)["master_link_status"] == "up", 20)
        command = [need("redis-server"), str(file), "--sentinel"]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
            try:
                until(lambda: is_up(state), 20)
                until(lambda: is_done(lambda: state.keep("verified", "bob@example.net", "250", 600)), 20)
                until(lambda: info(replica)["slave_repl_offset"] == info(master)["master_repl_offset"], 20)
                until(lambda: replicas(sentinel_port) == 1, 20)
                master.kill()
                until(lambda: not is_up(state), 10)
                until(lambda: is_up(state), 30, lambda: str(said))
                assert info(replica)["role"] == "master"
                kept: list[KeptText | None] = []
                until(lambda: is_done(lambda: kept.append(state.text("verified", "bob@example.net"))), 10)
                assert kept[0] is not None
                assert kept[0].text == "250"
            finally:
                process.terminate()
    finally:
        state.close()
        replica.stop()


def info(server: RedisServer) -> dict[str, Any]:
    with Redis(port=server.port) as client:
        found: dict[str, Any] = client.info("replication")
        return found


def replicas(sentinel_port: int) -> int:
    with Redis(port=sentinel_port, decode_responses=True) as client:
        return int(client.sentinel_master("mail")["num-slaves"])

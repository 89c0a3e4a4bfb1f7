"""Two servers behind HAProxy with the shipped files, one Redis and one Dovecot, and the loss of each of them."""

import random
import re
import smtplib
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import pytest

from tests.dovecot_lmtp import MailStoreServer, mail_store_server
from tests.instance import Instance
from tests.load import Load
from tests.shared_state.deaths import Outage, arrived, kill, lose_the_first, queue, stop
from tests.shared_state.haproxy import HaProxy, listen_behind_haproxy
from tests.shared_state.redis_server import RedisServer
from tests.shared_state.test_nodes import SECRETS, folder_for_servers
from tests.waiting import until

JOE, ANN = "joe@example.test", "ann@example.test"
OWNER = "nobody"
BACK_S = 5.0
PLAY_S = 60.0


class Cluster:
    def __init__(self, folder: Path, store: MailStoreServer | None = None) -> None:
        self.redis = RedisServer(folder)
        self.store = store
        self.nodes = [Instance(folder / name) for name in ("one", "two")]
        for node in self.nodes:
            listen_behind_haproxy(node)
            node.set_all(
                {
                    ("server", "shared_state"): self.redis.url,
                    ("server", "mailbox"): "maildir" if store is None else f"lmtp:127.0.0.1:{store.port}",
                    ("basic", "retry_interval"): "1s",
                    ("basic", "max_retry_interval"): "1s",
                    ("basic", "min_free_space"): "1M",
                    ("remote", "dead_host_time"): "1s",
                }
            )
        self.haproxy = HaProxy.before(folder, self.nodes)

    def logs(self) -> str:
        return "".join(node.log() for node in self.nodes)


@contextmanager
def cluster(store: MailStoreServer | None = None) -> Iterator[Cluster]:
    with folder_for_servers() as folder, ExitStack() as stack:
        made = Cluster(folder, store)
        stack.callback(made.redis.stop)
        made.redis.start()
        one, two = made.nodes
        for node in made.nodes:
            added = node.run("user", "add", ANN, "--password-stdin", input=one.password)
            assert added.returncode == 0, added.stderr
        one.start()
        stack.callback(stop, one)
        for name in SECRETS:
            (two.folder / name).write_bytes((one.folder / name).read_bytes())
            (two.folder / name).chmod(0o644)
        two.start()
        stack.callback(stop, two)
        stack.callback(made.haproxy.kill)
        made.haproxy.start()
        yield made


def through(site: Cluster, tag: str, source: str = "127.0.0.1", to: str = JOE) -> bool:
    """Send a message through HAProxy; True for the 250."""
    try:
        with smtplib.SMTP("127.0.0.1", site.haproxy.port, "client.test", 5, source_address=(source, 0)) as client:
            client.sendmail("a@client.test", [to], f"Subject: {tag}\r\n\r\nHello.\r\n")
    except (OSError, smtplib.SMTPException):
        return False
    return True


def test_both_nodes_serve_with_the_address_of_the_client() -> None:
    with cluster() as site:
        for number in range(8):
            assert through(site, f"n{number}", "127.0.0.9")
        until(lambda: sum(len(node.mail()) for node in site.nodes) == 8, 20, site.logs)
        for node in site.nodes:
            assert "[127.0.0.9]" in node.log()
            assert node.mail(), "HAProxy used one node alone"


@pytest.mark.peers
def test_nothing_is_lost_while_its_neighbours_die_at_random() -> None:
    """60 seconds of load: Redis, HAProxy and a server are killed, Dovecot is stopped, and each comes back."""
    with mail_store_server({JOE: 0, ANN: 0}, OWNER) as store, cluster(store) as site:
        load = Load(site.haproxy.port, JOE, 4)
        load.start()
        until(lambda: len(load.acknowledged) > 20, 60, site.logs)
        end, slowest = time.monotonic() + PLAY_S, dict[str, float]()
        neighbours = neighbours_of(site, store)
        killed: list[str] = []
        while time.monotonic() < end:
            name = random.choice(sorted(neighbours))
            kill, start, is_back = neighbours[name]
            killed.append(name)
            kill()
            time.sleep(random.uniform(0.2, 3.0))
            start()
            began, stored = time.monotonic(), mails_in(store)
            until(partial(is_back, stored), 30, lambda: f"{killed}: {site.logs()[-3000:]}")
            slowest[name] = max(slowest.get(name, 0.0), time.monotonic() - began)
        load.stop()
        print(f"{len(load.acknowledged)} messages, killed {killed}, back after at most {slowest} s")
        until(lambda: all(not queue(node) for node in site.nodes), 180, lambda: str([queue(n) for n in site.nodes]))
        assert load.acknowledged - set(arrived(store, JOE)) == set()
        assert "status=bounced" not in site.logs()
        assert re.findall(r"reject: .*: 5\d\d ", site.logs()) == []
        assert {name: took_s for name, took_s in slowest.items() if took_s >= BACK_S} == {}


Neighbour = tuple[Callable[[], None], Callable[[], None], Callable[[int], bool]]


def neighbours_of(site: Cluster, store: MailStoreServer) -> dict[str, Neighbour]:
    """The ways to kill and to start each neighbour, and to see that its service is back, from the number of mails that
    were stored when it started."""
    two = site.nodes[1]
    return {
        "redis": (site.redis.kill, site.redis.start, lambda _: all(shares(node) for node in site.nodes)),
        "dovecot": (store.stop, store.start, lambda stored: mails_in(store) > stored),
        "haproxy": (site.haproxy.kill, site.haproxy.start, lambda _: through(site, "back", to=ANN)),
        "server": (partial(kill, two), two.start, lambda _: is_used(site, two)),
    }


def is_used(site: Cluster, node: Instance) -> bool:
    """Return True if HAProxy gives it a new client: those of the load stay at the other one."""
    return through(site, "back", to=ANN) and ": client=" in node.log().rpartition("daemon started")[2]


def mails_in(store: MailStoreServer) -> int:
    user, domain = JOE.split("@")
    return sum(1 for _ in (store.base / "mail" / domain / user / "new").iterdir())


def shares(node: Instance) -> bool:
    return '"state": "down"' not in node.run("status", "--json").stdout


@pytest.mark.peers
def test_the_queue_of_a_node_that_dies_under_load_is_adopted() -> None:
    """Mail waits on both nodes for Dovecot when one is killed; the other takes over its queue from the disk."""
    with mail_store_server({JOE: 0, ANN: 0}, OWNER) as store, cluster(store) as site:
        two = site.nodes[1]
        load = Load(site.haproxy.port, JOE, 4)
        load.start()
        until(lambda: len(load.acknowledged) > 50, 60, site.logs)
        said = lose_the_first(site.nodes, load, Outage(store.stop, store.start), waiting=100, more=200)
        load.stop()
        until(lambda: not queue(two), 120, lambda: f"{len(queue(two))} wait: {two.log()[-2000:]}")
        print(f"{len(load.acknowledged)} messages: {said}")
        assert load.acknowledged - set(arrived(store, JOE)) == set()
        assert "status=bounced" not in site.logs()

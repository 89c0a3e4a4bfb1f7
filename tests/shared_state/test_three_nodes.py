"""Three servers in namespaces of their own, behind HAProxy, with one Redis and one Dovecot: a site with all of it."""

import smtplib
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path

import pytest

from tests.bench.processes import times
from tests.dovecot_lmtp import MailStoreServer, mail_store_server
from tests.load import Load
from tests.shared_state.haproxy import HaProxy
from tests.shared_state.redis_server import RedisServer
from tests.shared_state.site import HUB, SiteNode, site_network
from tests.shared_state.test_behind_haproxy import JOE, OWNER, kill, queue, stop, subjects
from tests.shared_state.test_nodes import SECRETS, accepted, folder_for_servers
from tests.waiting import until

pytestmark = pytest.mark.peers

MESSAGES = 1000  # for each measurement
STRANGER = "10.0.0.99"


class Site:
    def __init__(self, folder: Path, store: MailStoreServer, servers: list[tuple[str, int]]) -> None:
        self.redis = RedisServer(folder, "--protected-mode", "no", ip=HUB)
        self.store = store
        self.haproxy = HaProxy.of_three(folder)
        self.nodes = [SiteNode(folder / ip, ip, namespace) for ip, namespace in servers]
        for node in self.nodes:
            node.set_all(
                {
                    ("server", "shared_state"): self.redis.url,
                    ("server", "mailbox"): f"lmtp:unix:{store.socket}",
                    ("basic", "retry_interval"): "1s",
                    ("basic", "max_retry_interval"): "1s",
                    ("basic", "min_free_space"): "1M",
                    ("remote", "relay_hosts"): "127.0.0.1:9",
                    ("remote", "relay_always"): "yes",
                    ("remote", "look_up_mx"): "no",
                    ("limits", "over_limit"): "refuse",
                    ("limits", "new_recipients_per_day"): "0",
                    ("access", "max_failures"): "3",
                }
            )

    def logs(self) -> str:
        return "".join(node.log() for node in self.nodes)

    def start(self, node: SiteNode) -> None:
        if node is not self.nodes[0]:
            for name in SECRETS:
                (node.folder / name).write_bytes((self.nodes[0].folder / name).read_bytes())
                (node.folder / name).chmod(0o644)
        node.start()


@pytest.fixture
def site() -> Iterator[Site]:
    with site_network(3) as servers, ExitStack() as stack:
        store = stack.enter_context(mail_store_server({JOE: 0}, OWNER))
        made = Site(stack.enter_context(folder_for_servers()), store, servers)
        stack.callback(made.redis.stop)
        made.redis.start()
        for node in made.nodes:
            stack.callback(partial(stop, node))
        made.start(made.nodes[0])
        stack.callback(made.haproxy.kill)
        made.haproxy.start()
        yield made


def test_a_site_of_three_servers(site: Site) -> None:
    """The cost of a message with one, two and three servers; a limit and a block of all; the death of one of them."""
    for node in site.nodes:
        if node.process is None:
            site.start(node)
            until(partial(is_used, site, node), 30, site.logs)
        print(f"{cost_us(site):.0f} µs of processor time a message with {up(site)} servers")
    one_limit(site)
    one_block(site)
    one_dies(site)


def is_used(site: Site, node: SiteNode) -> bool:
    return through(site) and ": client=" in node.log()


def up(site: Site) -> int:
    return sum(node.process is not None for node in site.nodes)


def through(site: Site, port: int = 25) -> bool:
    """Send a message through HAProxy; True for the 250."""
    with suppress(OSError, smtplib.SMTPException), smtplib.SMTP(HUB, port, "client.test", 5) as client:
        client.sendmail("a@client.test", [JOE], "Subject: through\r\n\r\nHello.\r\n")
        return True
    return False


def worked_s(site: Site) -> float:
    found = times([node.process.pid for node in site.nodes if node.process is not None])
    return found.user + found.system


def cost_us(site: Site) -> float:
    """Return the processor time of all servers for a message that goes to Dovecot."""
    before = worked_s(site)
    load = Load(site.haproxy.port, JOE, 6)
    load.start()
    until(lambda: len(load.acknowledged) >= MESSAGES, 120, site.logs)
    load.stop()
    until(lambda: not any(queue(node) for node in site.nodes), 60, site.logs)
    return (worked_s(site) - before) * 1e6 / len(load.acknowledged)


def one_limit(site: Site) -> None:
    """200 recipients an hour, whichever server takes them."""
    found: list[int] = []

    def send(name: str) -> None:
        for number in range(20):
            client = smtplib.SMTP(HUB, 587, "client.test", 30)
            client.starttls(context=ssl._create_unverified_context())
            client.login(site.nodes[0].login, site.nodes[0].password)
            recipients = [f"{name}{number}-{each}@away.example" for each in range(4)]
            found.append(accepted(client, site.nodes[0], recipients))
            client.close()

    senders = [threading.Thread(target=send, args=(name,), daemon=True) for name in "abcd"]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join(120)
    assert 200 <= sum(found) <= 202
    assert all("sasl_username=" in node.log() for node in site.nodes)
    for node in site.nodes:
        until(partial(is_emptied, node), 30)  # their server does not answer


def is_emptied(node: SiteNode) -> bool:
    node.run("queue", "delete", "--all")
    return not queue(node)


def one_block(site: Site) -> None:
    """A block by one server holds on the others within a second."""
    one, *others = site.nodes
    assert all(node.greets(STRANGER) for node in site.nodes)
    assert one.run("block", "add", STRANGER).returncode == 0
    began = time.monotonic()
    until(lambda: not any(node.greets(STRANGER) for node in others), 10)
    assert time.monotonic() - began < 1.5  # the connections of the test take their time too


def one_dies(site: Site) -> None:
    """Mail waits for Dovecot on all servers when one is killed under load. Another takes over its queue."""
    one, two, three = site.nodes
    load = Load(site.haproxy.port, JOE, 6)
    load.start()
    until(lambda: len(load.acknowledged) > 50, 60, site.logs)
    site.store.stop()
    until(lambda: all(len(queue(node)) > 30 for node in site.nodes), 120, site.logs)
    kill(one)
    goal = len(load.acknowledged) + 100
    until(lambda: len(load.acknowledged) > goal, 120, site.logs)
    load.stop()
    adopted = two.run("queue", "adopt", str(one.folder / "spool"))
    assert adopted.returncode == 0, adopted.stderr
    site.store.start()
    until(lambda: not queue(two) and not queue(three), 120, lambda: f"{len(queue(two))}, {len(queue(three))} wait")
    arrived = subjects(site.store)
    print(f"{len(load.acknowledged)} messages, one server killed: {adopted.stdout}{adopted.stderr}")
    assert load.acknowledged - arrived == set()
    assert "status=bounced" not in site.logs()
    assert queue(one) == []

"""Three servers in namespaces of their own, behind HAProxy, with one Redis and one Dovecot: a site with all of it."""

import smtplib
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path

import pytest

from tests.bench.processes import times
from tests.conf.example_dovecot import example_of
from tests.dovecot_lmtp import MailStoreServer, mail_store_server
from tests.load import Load
from tests.postgresql import accounts_in, postgresql
from tests.shared_state.deaths import Outage, arrived, lose_the_first, queue, stop
from tests.shared_state.haproxy import HaProxy
from tests.shared_state.redis_server import RedisServer
from tests.shared_state.site import HUB, SiteNode, site_network
from tests.shared_state.test_behind_haproxy import JOE, OWNER
from tests.shared_state.test_nodes import SECRETS, accepted, folder_for_servers
from tests.waiting import until

MESSAGES = 1000  # for each measurement
MANY, LONG_S = 30_000, 600.0
STRANGER = "10.0.0.99"


class Site:
    def __init__(
        self, folder: Path, store: MailStoreServer, servers: list[tuple[str, int]], more: Mapping[str, str]
    ) -> None:
        """`more` is set in [server]."""
        self.redis = RedisServer(folder, "--protected-mode", "no", ip=HUB)
        self.store = store
        self.haproxy = HaProxy.of_three(folder)
        self.nodes = [SiteNode(folder / ip, ip, namespace) for ip, namespace in servers]
        for node in self.nodes:
            node.set_all(
                {("server", name): value for name, value in more.items()}
                | {
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


@contextmanager
def site_of(store: MailStoreServer, **more: str) -> Iterator[Site]:
    """A site of which the first server runs."""
    with site_network(3) as servers, ExitStack() as stack:
        made = Site(stack.enter_context(folder_for_servers()), store, servers, more)
        stack.callback(made.redis.stop)
        made.redis.start()
        for node in made.nodes:
            stack.callback(partial(stop, node))
        made.start(made.nodes[0])
        stack.callback(made.haproxy.kill)
        made.haproxy.start()
        yield made


@pytest.mark.peers
def test_a_site_of_three_servers() -> None:
    """The cost of a message with one, two and three servers; a limit and a block of all; the death of one of them."""
    with mail_store_server({JOE: 0}, OWNER) as store, site_of(store) as site:
        for node in site.nodes:
            begin(site, node)
            print(f"{cost_us(site):.0f} µs of processor time a message with {up(site)} servers")
        one_limit(site)
        one_block(site)
        one_dies(site)


@pytest.mark.torture
def test_thirty_thousand_messages_while_all_neighbours_fail() -> None:
    """Accounts in PostgreSQL behind Dovecot. No message is lost while Redis stops, the mail store stops, a server dies
    and another one takes over its queue."""
    queries = example_of("2.3", "-sql.conf.ext")
    with postgresql() as database, ExitStack() as stack:
        accounts_in(database, f"('{JOE}', '{{PLAIN}}secret word', 0, true)")
        queries = queries.replace("10.0.0.40", str(database.folder))
        store = stack.enter_context(mail_store_server({}, OWNER, queries))
        sockets = {"dovecot_auth": str(store.auth), "dovecot_userdb": str(store.userdb)}
        site = stack.enter_context(site_of(store, accounts="dovecot", **sockets))
        for node in site.nodes:
            begin(site, node)
        one_limit(site)
        one_block(site)
        many_messages(site)


def begin(site: Site, node: SiteNode) -> None:
    if node.process is None:
        site.start(node)
        until(partial(is_used, site, node), 30, site.logs)


def many_messages(site: Site) -> None:
    """While Redis is stopped no session fails; while Dovecot is, each has 451; nothing is bounced at any time."""
    load, began, worked = Load(site.haproxy.port, JOE, 12), time.monotonic(), worked_s(site)
    load.start()
    come(site, load, MANY // 5)
    cost = (worked_s(site) - worked) * 1e6 / len(load.acknowledged)
    site.redis.stop()
    come(site, load, MANY // 10)
    site.redis.start()
    come(site, load, MANY // 10)
    assert load.failures == []
    site.store.stop()
    until(lambda: len(load.failures) > 50, 120, site.logs)
    site.store.start()
    come(site, load, MANY // 10)
    assert [each for each in load.failures if not each.startswith("451 ")] == []
    aside = site.store.socket.with_name("lmtp.aside")
    outage = Outage(partial(site.store.socket.rename, aside), partial(aside.rename, site.store.socket))
    said = lose_the_first(site.nodes, load, outage, waiting=200, more=MANY // 10)
    until(lambda: len(load.acknowledged) >= MANY, LONG_S, site.logs)
    load.stop()
    took_s = time.monotonic() - began
    until(lambda: not any(queue(node) for node in site.nodes[1:]), LONG_S, lambda: site.logs()[-2000:])
    found = arrived(site.store, JOE)
    twice = sum(number > 1 for number in found.values())
    print(f"{len(load.acknowledged)} messages in {took_s:.0f} s, {cost:.0f} µs of processor time each with 3 servers")
    print(f"{twice} arrived twice; {len(load.failures)} sessions had 451 or lost their server: {said}")
    assert load.acknowledged - set(found) == set()
    assert "status=bounced" not in site.logs()


def come(site: Site, load: Load, number: int) -> None:
    """Wait until so many messages more are acknowledged."""
    goal = len(load.acknowledged) + number
    until(lambda: len(load.acknowledged) >= goal, LONG_S, site.logs)


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
    print(f"{sum(found)} of 200 recipients")
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
    print(f"a block holds everywhere after {time.monotonic() - began:.2f} s")
    assert time.monotonic() - began < 1.5  # the connections of the test take their time too


def one_dies(site: Site) -> None:
    """Mail waits for Dovecot on all servers when one is killed under load. Another takes over its queue."""
    two, three = site.nodes[1:]
    load = Load(site.haproxy.port, JOE, 6)
    load.start()
    until(lambda: len(load.acknowledged) > 50, 60, site.logs)
    said = lose_the_first(site.nodes, load, Outage(site.store.stop, site.store.start), waiting=30, more=100)
    load.stop()
    until(lambda: not queue(two) and not queue(three), 120, lambda: f"{len(queue(two))}, {len(queue(three))} wait")
    print(f"{len(load.acknowledged)} messages, one server killed: {said}")
    assert load.acknowledged - set(arrived(site.store, JOE)) == set()
    assert "status=bounced" not in site.logs()

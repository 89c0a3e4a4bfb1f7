"""Two servers behind HAProxy with the shipped file, and one Redis."""

import smtplib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.instance import Instance
from tests.shared_state.haproxy import HaProxy, listen_behind_haproxy
from tests.shared_state.redis_server import RedisServer
from tests.shared_state.test_nodes import SECRETS, folder_for_servers
from tests.waiting import until

JOE = "joe@example.test"


class Cluster:
    def __init__(self, folder: Path) -> None:
        self.redis = RedisServer(folder)
        self.nodes = [Instance(folder / name) for name in ("one", "two")]
        for node in self.nodes:
            listen_behind_haproxy(node)
            node.set("server", "shared_state", self.redis.url)
        self.haproxy = HaProxy(folder, self.nodes)

    def logs(self) -> str:
        return "".join(node.log() for node in self.nodes)


@contextmanager
def cluster() -> Iterator[Cluster]:
    with folder_for_servers() as folder, ExitStack() as stack:
        made = Cluster(folder)
        stack.callback(made.redis.stop)
        made.redis.start()
        one, two = made.nodes
        one.start()
        stack.callback(one.stop)
        for name in SECRETS:
            (two.folder / name).write_bytes((one.folder / name).read_bytes())
            (two.folder / name).chmod(0o644)
        two.start()
        stack.callback(two.stop)
        stack.callback(made.haproxy.kill)
        made.haproxy.start()
        yield made


def through(site: Cluster, tag: str, source: str = "127.0.0.1") -> bool:
    """Send a message through HAProxy; True for the 250."""
    try:
        with smtplib.SMTP("127.0.0.1", site.haproxy.port, "client.test", 5, source_address=(source, 0)) as client:
            client.sendmail("a@client.test", [JOE], f"Subject: {tag}\r\n\r\nHello.\r\n")
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

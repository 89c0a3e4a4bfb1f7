"""A site in network namespaces: servers with addresses of their own, and HAProxy in front of them as it is shipped.

HAProxy, Redis, Dovecot and the clients share one namespace; its address is 10.0.0.10. Each server has a namespace with
10.0.0.11 and so on, joined to the first by a pair of virtual interfaces.
"""

import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path

from tests.bench.processes import tree
from tests.instance import Instance
from tests.peers.namespace import own_network
from tests.tools import need
from tests.waiting import until

__all__ = ["HUB", "SiteNode", "site_network"]

HUB = "10.0.0.10"
PORTS = {"smtp": 25, "submission": 587, "submissions": 465}


class SiteNode(Instance):
    """A server at an address of its own, whose listeners are for HAProxy alone."""

    def __init__(self, folder: Path, ip: str, namespace: int) -> None:
        super().__init__(folder)
        self.ip = ip
        self._enter = (need("nsenter"), f"--net=/proc/{namespace}/ns/net")
        self.ports = dict(PORTS)
        for name, port in PORTS.items():
            values = {"address": ip, "port": str(port), "proxy_protocol": HUB}
            self.set_all({(f"listener {name}", option): value for option, value in values.items()})

    def start(self, *prefix: str) -> None:
        super().start(*self._enter, *prefix)

    def connected(self, client: str = HUB, name: str = "smtp") -> socket.socket:
        """Return a connection as HAProxy makes it for a client."""
        made = socket.create_connection((self.ip, PORTS[name]), 5)
        made.sendall(f"PROXY TCP4 {client} {self.ip} 40000 {PORTS[name]}\r\n".encode())
        return made

    def greets(self, client: str = HUB) -> bool:
        with suppress(OSError), self.connected(client) as connection:
            return connection.recv(200).startswith(b"220")
        return False

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.said() + self.log()
        return self.greets()

    def processes(self) -> list[int]:
        return tree([self.process.pid]) if self.process is not None else []


@contextmanager
def site_network(number: int) -> Iterator[list[tuple[str, int]]]:
    """Enter the namespace of the site. Yield the address of each server, with a process in its namespace."""
    with own_network(), ExitStack() as stack:
        servers = []
        for each in range(1, number + 1):
            ip = f"10.0.0.{10 + each}"
            holder = subprocess.Popen([need("unshare"), "--net", "sleep", "infinity"])
            stack.callback(holder.wait)
            stack.callback(holder.kill)
            until(partial(_has_left, holder.pid), 10)
            run("ip", "link", "add", f"n{each}", "type", "veth", "peer", "name", "eth0", "netns", str(holder.pid))
            run("ip", "addr", "add", HUB, "dev", f"n{each}", "peer", ip)
            run("ip", "link", "set", f"n{each}", "up")
            inside = ("nsenter", f"--net=/proc/{holder.pid}/ns/net")
            run(*inside, "ip", "link", "set", "lo", "up")
            run(*inside, "ip", "addr", "add", ip, "dev", "eth0", "peer", HUB)
            run(*inside, "ip", "link", "set", "eth0", "up")
            servers.append((ip, holder.pid))
        yield servers


def _has_left(pid: int) -> bool:
    return os.readlink(f"/proc/{pid}/ns/net") != os.readlink("/proc/thread-self/ns/net")


def run(*command: str) -> None:
    done = subprocess.run([need(command[0]), *command[1:]], capture_output=True, text=True, timeout=20)
    assert done.returncode == 0, done.stderr

"""HAProxy with the shipped configuration, in front of two servers of a test."""

import re
import socket
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

from tests.crash import crash
from tests.instance import Instance, free_port
from tests.tools import need
from tests.waiting import until

__all__ = ["PROXIED", "HaProxy", "listen_behind_haproxy"]

SHIPPED = Path(__file__).parents[2] / "conf" / "examples" / "haproxy.cfg"
PROXIED = "proxied"  # the listener of a node for port 25 of HAProxy; the test itself talks to the one named smtp


def listen_behind_haproxy(node: Instance) -> None:
    """Add a listener for HAProxy, and let it alone use those for users. Call it before the node starts."""
    node.ports[PROXIED] = free_port()
    values = {"port": str(node.ports[PROXIED]), "address": "127.0.0.1", "proxy_protocol": "127.0.0.1"}
    options = {(f"listener {PROXIED}", name): value for name, value in values.items()}
    users = {(f"listener {name}", "proxy_protocol"): "127.0.0.1" for name in ("submission", "submissions")}
    node.set_all(options | users)


class HaProxy:
    """`port` is its port 25."""

    def __init__(self, folder: Path, text: str, port: int) -> None:
        for name in ("user", "group"):
            text = text.replace(f"    {name} haproxy\n", "")
        text = text.replace("log /dev/log mail", "log stdout format raw local0")
        self.port = port
        self._file = folder / "haproxy.cfg"
        self._file.write_text(text, encoding="utf-8")
        self._process: subprocess.Popen[bytes] | None = None

    @classmethod
    def before(cls, folder: Path, nodes: Sequence[Instance]) -> Self:
        """Return one on free ports, before two servers on this machine; ports are those of the servers as they are."""
        text, port = SHIPPED.read_text(encoding="utf-8"), free_port()
        for bound, other in ((25, port), (587, free_port()), (465, free_port())):
            text = text.replace(f"bind :{bound}\n", f"bind 127.0.0.1:{other}\n")
        ports = {25: PROXIED, 587: "submission", 465: "submissions"}
        for ip, node in zip(("10.0.0.11", "10.0.0.12"), nodes, strict=True):
            for number, name in ports.items():
                text = re.sub(rf"{ip}:{number}$", f"127.0.0.1:{node.ports[name]}", text, flags=re.M)
        return cls(folder, text, port)

    @classmethod
    def of_three(cls, folder: Path) -> Self:
        """Return one with the addresses and ports of the file, and a third server."""
        text = SHIPPED.read_text(encoding="utf-8")
        text = re.sub(
            r"^    server node2 10\.0\.0\.12(:\d+)$", r"\g<0>\n    server node3 10.0.0.13\1", text, flags=re.M
        )
        assert text.count("10.0.0.13:") == 3
        return cls(folder, text, 25)

    def start(self) -> None:
        log = self._file.with_suffix(".log")
        with log.open("w") as output:
            command = [need("haproxy"), "-db", "-f", str(self._file)]
            self._process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        until(self._answers, 20, lambda: f"no banner through HAProxy: {log.read_text()}")

    def _answers(self) -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1) as connection:
            return connection.recv(10).startswith(b"220")
        return False

    def kill(self) -> None:
        crash(self._process)
        self._process = None

"""This server, as `init` sets it up, with trust for the load generator and a smarthost; compiled, and as it stands."""

from pathlib import Path
from typing import ClassVar

from tests.bench.peer import DOMAIN, USERS, Login, count_new
from tests.instance import Instance

__all__ = ["COMPILED", "Interpreted", "Ours"]

_ROOT = Path(__file__).parents[2]
COMPILED = _ROOT / ".compiled"

_OPTIONS = """
[trusted]
hosts = {trusted}

[remote]
relay_always = yes
relay_hosts = 127.0.0.1:{relay}

[access]
max_connections = 4000
"""


class Ours:
    name = "smtpd-classic"
    can: ClassVar[frozenset[str]] = frozenset({"local", "several", "kept", "relay", "login"})
    share: ClassVar[float] = 1.0
    most_sessions: ClassVar[int] = 1000
    login: Login | None = None
    code = COMPILED
    more = ""  # of the configuration
    trusted = "127.0.0.0/8"

    def start(self, folder: Path, relay: int) -> None:
        self.server = Instance(folder / "instance", DOMAIN, self.code)
        users = self.server.folder / "users"
        line = users.read_text(encoding="utf-8").rstrip("\n")
        users.write_text("".join(f"{user}{line.removeprefix('joe')}\n" for user in USERS), encoding="utf-8")
        with self.server.file.open("a", encoding="utf-8") as file:
            file.write(_OPTIONS.format(relay=relay, trusted=self.trusted) + self.more)
        self.prepare()
        self.server.start()
        self.port = self.server.ports["smtp"]
        self.login = Login(self.server.ports["submission"], self.server.login, self.server.password)

    def prepare(self) -> None:
        """Change the configuration before the start; nothing here."""

    def stop(self) -> None:
        self.server.stop()

    def roots(self) -> list[int]:
        assert self.server.process is not None
        return [self.server.process.pid]

    def delivered(self) -> int:
        return count_new(self.server.folder / "mail" / DOMAIN)


class Interpreted(Ours):
    """What runs where it was installed without a compiler."""

    name = "smtpd-classic interpreted"
    share: ClassVar[float] = 0.5  # it is beside, not what is to be shown
    code = _ROOT

"""A folder with a configuration, users and aliases, for tests of the accounts."""

import os
from pathlib import Path

from smtpd_classic.accounts import Accounts, hash_password
from smtpd_classic.config import Config, parse

__all__ = ["HASH", "PASSWORD", "Clock", "Place"]

PASSWORD = "pässword 1"
HASH = hash_password(PASSWORD)

# The service user is one that no machine has: a test that runs as root must not ask the rights of the installed one.
INI = """[server]
user = smtpd-classic-test
primary_domain = example.org
mail_folder = mail
[domain example.org]
aliases = example.net, EXAMPLE.biz
[domain other.org]
catch_all = joe@example.org
[domain bücher.example]
"""


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Place:
    """Names in `users` without a hash get one that PASSWORD fits."""

    def __init__(self, folder: Path, users: str = "", aliases: str = "", ini: str = INI) -> None:
        self.folder = folder
        self.complaints: list[str] = []
        self.clock = Clock()
        self.file = folder / "smtpd-classic.conf"
        self.file.write_text(ini, encoding="utf-8")
        self.users_file, self.aliases_file = folder / "users", folder / "aliases"
        self.users(users)
        self.aliases(aliases)

    @property
    def config(self) -> Config:
        return parse(self.file.read_text(encoding="utf-8"), str(self.file))

    def users(self, text: str) -> None:
        lines = [
            line if ":" in line or line.startswith("#") or not line else f"{line}:{HASH}" for line in text.split("\n")
        ]
        self.users_file.write_text("\n".join(lines), encoding="utf-8")
        os.chmod(self.users_file, 0o600)

    def aliases(self, text: str) -> None:
        self.aliases_file.write_text(text, encoding="utf-8")

    def accounts(self) -> Accounts:
        return Accounts(self.config, self.complaints.append, clock=self.clock)

    def later(self) -> None:
        """So much later that the files are looked at again."""
        self.clock.now += 1.5

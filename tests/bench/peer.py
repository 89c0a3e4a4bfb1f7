"""What every server that is measured has to offer.

A peer is given a folder of its own on the common disk. It takes mail for `USERS` of bench.test into Maildirs, as
durable as it comes. `relay` is the port of a sink: mail for anybody else goes there.
"""

import contextlib
import os
import socket
from pathlib import Path
from typing import ClassVar, NamedTuple, Protocol

__all__ = ["DOMAIN", "USERS", "Login", "Peer", "answers", "count_new"]

DOMAIN = "bench.test"
# smtp-source counts the recipients of one message down to the bare one.
USERS = ("joe", "u", *(f"{number}u" for number in range(2, 51)))


class Login(NamedTuple):
    """Where users log in, under STARTTLS, and as whom."""

    port: int
    name: str
    password: str


class Peer(Protocol):
    """`can`: which needs of workloads it meets ("several": a copy for each recipient); `login` is None where it cannot
    "login". `share`: how much of the messages it is given, so that a slow one does not take all the time;
    `most_sessions`: what it stands at once."""

    name: str
    can: ClassVar[frozenset[str]]
    share: ClassVar[float]
    most_sessions: ClassVar[int]
    port: int
    login: Login | None

    def start(self, folder: Path, relay: int) -> None: ...
    def stop(self) -> None: ...
    def roots(self) -> list[int]: ...
    def delivered(self) -> int: ...


def answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), 5) as connection:
            return connection.recv(200).startswith(b"220")
    except OSError:
        return False


def count_new(mail: Path) -> int:
    """Messages in all Maildirs below a folder."""
    total = 0
    with contextlib.suppress(FileNotFoundError):
        for user in os.scandir(mail):
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                total += sum(1 for _ in os.scandir(f"{user.path}/new"))
    return total

"""The loop of a receiving process: accepts waiting connections, and returns other descriptors that are readable."""

import errno
import select
import time
from collections.abc import Callable, Iterable

from smtpd_classic.log import Log
from smtpd_classic.server.listener_server import ListenerServer

__all__ = ["Acceptor"]

_NO_ROOM = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
_PAUSE_S = 0.2
_LET_OTHERS_S = 0.001
# Several processes wait for the same sockets; without this flag all of them would wake up for each connection.
_EXCLUSIVE = select.EPOLLIN | select.EPOLLEXCLUSIVE


class Acceptor:
    """`others` are descriptors besides the listening sockets, such as the supervisor's pipe. `ahead` tells whether the
    other processes that accept on the same sockets have much less to do."""

    def __init__(self, others: Iterable[int], log: Log, ahead: Callable[[], bool] = lambda: False) -> None:
        self._log = log
        self._ahead = ahead
        self._epoll = select.epoll()
        self._servers: dict[int, ListenerServer] = {}
        self._others = tuple(others)
        self._paused_until = 0.0
        self._short = False
        for fd in self._others:
            self._epoll.register(fd, select.EPOLLIN)

    def serve(self, servers: Iterable[ListenerServer]) -> None:
        """Accept on these servers alone from now on."""
        for fd in self._servers:
            self._epoll.unregister(fd)
        self._servers = {server.fileno(): server for server in servers}
        for fd in self._servers:
            self._epoll.register(fd, _EXCLUSIVE)

    def run(self, timeout_s: float) -> set[int]:
        """Accept until one of the others is readable or the time has passed; return those that are readable."""
        end = time.monotonic() + timeout_s
        while True:
            now = time.monotonic()
            ready = self._ready(max(0.0, end - now), now)
            found = {fd for fd, _ in ready if fd in self._others}
            for fd, _ in ready:
                server = self._servers.get(fd)
                if server is not None:
                    self._accept(server)
            if found or now >= end:
                return found

    def close(self) -> None:
        self._epoll.close()

    def _ready(self, timeout_s: float, now: float) -> list[tuple[int, int]]:
        pause_s = self._paused_until - now
        if pause_s <= 0:
            return self._epoll.poll(timeout_s)
        # No descriptor is free: the listening sockets stay readable, and asking about them at once would only spin.
        quiet = select.poll()
        for fd in self._others:
            quiet.register(fd, select.POLLIN)
        return quiet.poll(min(pause_s, timeout_s) * 1000)

    def _accept(self, server: ListenerServer) -> None:
        if self._ahead():
            time.sleep(_LET_OTHERS_S)  # whom the same clients have woken, and who may just not have run yet
        try:
            if server.accept_one() and self._short:
                self._short = False
                self._log.write("smtpd", "accepting connections again")
        except OSError as problem:
            if problem.errno not in _NO_ROOM:
                self._log.warning("smtpd", f"accept: {problem.strerror}")
            elif not self._short:
                self._short = True
                self._log.warning("smtpd", f"no room for another connection: {problem.strerror}; clients have to wait")
            self._paused_until = time.monotonic() + _PAUSE_S

"""Questions to the shared state: Lua scripts in the protocol of Redis (RESP 2), over connections that redis-py opens.

redis-py does what a connection needs once: TLS, password, database, Sentinel. Its commands take twice the processor
time of those here, and a session asks at each recipient.
"""

import os
import select
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from hashlib import sha1
from typing import Any

__all__ = ["Link", "Links", "RefusedByServer"]

_READ_AT_ONCE = 65_536


class RefusedByServer(Exception):
    """Raised for an error reply; `str()` is its text."""


class Link:
    """A connection of redis-py for one thread at a time."""

    def __init__(self, pool: Any, deadline_s: float) -> None:
        # Not by the pool's own way, whose bound counts connections that have ended.
        self._connection = pool.connection_class(**pool.connection_kwargs)
        self._connection.connect()
        self._socket = self._connection._sock  # noqa: SLF001 - the same in all releases since 2.0
        self._socket.settimeout(deadline_s)
        self._file = self._socket.makefile("rb", _READ_AT_ONCE)
        self._incoming = select.poll()
        self._incoming.register(self._socket, select.POLLIN)

    def is_stale(self) -> bool:
        """Return True if the server has closed the connection, or has sent what no question has asked for."""
        return bool(self._incoming.poll(0))

    def run(self, script: "_Script", keys: Sequence[str], values: Sequence[object]) -> Any:
        """Return the reply to a Lua script. Raises RefusedByServer and OSError."""
        head = b"*%d\r\n" % (3 + len(keys) + len(values))
        rest = b"".join(map(_packed, (len(keys), *keys, *values)))
        self._socket.sendall(head + script.digest + rest)
        try:
            return self._reply()
        except RefusedByServer as refused:
            if not str(refused).startswith("NOSCRIPT"):
                raise
        self._socket.sendall(head + script.text + rest)
        return self._reply()

    def close(self) -> None:
        with suppress(Exception):  # of the connection, or of redis-py
            self._file.close()
        with suppress(Exception):
            self._connection.disconnect()

    def _reply(self) -> Any:
        line = self._file.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionError("the server has closed the connection")
        kind, text = line[:1], line[1:-2]
        if kind == b":":
            return int(text)
        if kind == b"*":
            return [self._reply() for _ in range(int(text))]
        if kind == b"$":
            return self._octets(int(text))
        if kind == b"-":
            raise RefusedByServer(text.decode("utf-8", "replace"))
        if kind == b"+":
            return text.decode("utf-8", "surrogateescape")
        raise ConnectionError(f"this is no reply of Redis: {line[:40]!r}")

    def _octets(self, size: int) -> str | None:
        if size < 0:
            return None
        octets: bytes = self._file.read(size + 2)
        if len(octets) < size + 2:
            raise ConnectionError("the server has closed the connection")
        return octets[:-2].decode("utf-8", "surrogateescape")


class _Script:
    """The command for a Lua script, by its digest and with its text."""

    def __init__(self, text: str) -> None:
        octets = text.encode()
        self.digest = _packed("EVALSHA") + _packed(sha1(octets, usedforsecurity=False).hexdigest())
        self.text = _packed("EVAL") + _packed(text)


class Links:
    """The idle connections to one shared state. A thread takes the one that was used last, or opens another."""

    def __init__(self, deadline_s: float) -> None:
        self._deadline_s = deadline_s
        self._idle: deque[Link] = deque()
        self._scripts: dict[str, _Script] = {}
        self._owner = os.getpid()

    def run(self, pool: Any, script: str, keys: Sequence[str], values: Sequence[object]) -> Any:
        """Return the reply to a Lua script. Raises RefusedByServer, OSError, and the exceptions of redis-py."""
        known = self._scripts.get(script)
        if known is None:
            known = self._scripts[script] = _Script(script)
        link = self._taken() or Link(pool, self._deadline_s)
        try:
            result = link.run(known, keys, values)
        except BaseException:
            link.close()
            raise
        self._idle.append(link)
        return result

    def close(self) -> None:
        """Close all idle connections: after a failure they may lead to a server that is no master any more."""
        with suppress(IndexError):
            while True:
                self._idle.pop().close()

    def _taken(self) -> Link | None:
        if self._owner != os.getpid():  # the connections belong to the parent
            self._owner, self._idle = os.getpid(), deque()
        with suppress(IndexError):
            while (link := self._idle.pop()).is_stale():
                link.close()
            return link
        return None


def _packed(word: object) -> bytes:
    octets = str(word).encode("utf-8", "surrogateescape")
    return b"$%d\r\n%b\r\n" % (len(octets), octets)

"""Questions to the shared state: Lua scripts, over connections of redis-py.

The commands of redis-py's client take twice the processor time of its connections, and a session asks at each
recipient.
"""

import os
import re
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from hashlib import sha1
from typing import Any

__all__ = ["Link", "Links", "RefusedByServer"]


# The codes of error replies to a script that say that the server cannot be used now.
_STATES = re.compile(
    r"\b(BUSY|CLUSTERDOWN|LOADING|MASTERDOWN|MISCONF|NOAUTH|NOPERM|NOREPLICAS|OOM|READONLY|TRYAGAIN)\b"
)


class RefusedByServer(Exception):
    """Raised for an error reply; `str()` is its text. `of_question`: another question may have an answer."""

    def __init__(self, text: str, *, of_question: bool) -> None:
        super().__init__(text)
        self.of_question = of_question


class Link:
    """A connection of redis-py for one thread at a time."""

    def __init__(self, pool: Any) -> None:
        # Not by the pool's own way, whose bound counts connections that have ended.
        self._connection = pool.connection_class(**pool.connection_kwargs)
        self._connection.connect()

    def is_stale(self) -> bool:
        """Return True if the server has closed the connection, or has sent what no question has asked for."""
        try:
            return bool(self._connection.can_read(0))
        except Exception:  # of redis-py
            return True

    def run(self, script: "_Script", keys: Sequence[str], values: Sequence[object]) -> Any:
        """Return the reply to a Lua script. Raises RefusedByServer, TimeoutError, and the exceptions of redis-py."""
        from redis import exceptions  # noqa: PLC0415 - an optional package, for several servers alone

        words = (len(keys), *keys, *map(str, values))
        try:
            try:
                return self._reply("EVALSHA", script.digest, *words)
            except exceptions.NoScriptError:
                return self._reply("EVAL", script.text, *words)
        except exceptions.ResponseError as refused:
            text = str(refused)
            is_plain = type(refused) is exceptions.ResponseError  # kinds of it are states of the server
            of_question = is_plain and "script" in text and not _STATES.search(text)
            raise RefusedByServer(text, of_question=of_question) from None
        except exceptions.TimeoutError as late:
            raise TimeoutError(str(late)) from None

    def close(self) -> None:
        with suppress(Exception):  # of redis-py
            self._connection.disconnect()

    def _reply(self, *words: object) -> Any:
        self._connection.send_command(*words, check_health=False)
        return self._connection.read_response()


class _Script:
    """A Lua script and its name on the server."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.digest = sha1(text.encode(), usedforsecurity=False).hexdigest()


class Links:
    """The idle connections to one shared state. A thread takes the one that was used last, or opens another."""

    def __init__(self) -> None:
        self._idle: deque[Link] = deque()
        self._scripts: dict[str, _Script] = {}
        self._owner = os.getpid()

    def run(self, pool: Any, script: str, keys: Sequence[str], values: Sequence[object]) -> Any:
        """Return the reply to a Lua script. Raises RefusedByServer, OSError, and the exceptions of redis-py."""
        known = self._scripts.get(script)
        if known is None:
            known = self._scripts[script] = _Script(script)
        link = self._taken() or Link(pool)
        try:
            result = link.run(known, keys, values)
        except RefusedByServer:
            self._idle.append(link)
            raise
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

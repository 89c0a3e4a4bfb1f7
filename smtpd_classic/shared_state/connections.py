"""The connections of redis-py to the shared state: each is open within the deadline, the look-up of a name included."""

import socket
from typing import Any

from smtpd_classic.config.shared_url import SharedUrl, parse_shared_url
from smtpd_classic.shared_state.host_names import HostNames, connect

__all__ = ["DEADLINE_S", "redis_client"]

DEADLINE_S = 0.05
_MOST_CONNECTIONS = 10_000  # one a thread that asks now


def redis_client(url: str, password: str, names: HostNames, deadline_s: float = DEADLINE_S) -> Any:
    """Return a client of redis-py, which connects when it is used. Raises ValueError for a URL that it refuses."""
    import redis  # noqa: PLC0415 - an optional package, for several servers alone
    from redis.backoff import NoBackoff  # noqa: PLC0415
    from redis.retry import Retry  # noqa: PLC0415

    options: dict[str, Any] = {
        "socket_timeout": deadline_s,
        "socket_connect_timeout": deadline_s,
        "retry": Retry(NoBackoff(), 0),
        "decode_responses": True,
        "encoding_errors": "surrogateescape",
    }
    if int(redis.__version__.partition(".")[0]) >= 5:
        options["protocol"] = 2  # link.py reads this one; older releases have no other
    parts = parse_shared_url(url)
    secret = {"password": password or parts.password} if password or parts.password else {}
    if parts.user:  # of an access list (ACL); redis-py reads it from the other URLs
        secret["username"] = parts.user
    if parts.scheme == "sentinel":
        return _watched(parts, options, secret, names)
    if parts.scheme != "unix":
        options["connection_class"] = _bounded(names, deadline_s, "rediss" if parts.scheme == "rediss" else "redis")
    return redis.Redis.from_url(url, max_connections=_MOST_CONNECTIONS, **options, **secret)


def _watched(parts: SharedUrl, options: dict[str, Any], secret: dict[str, str], names: HostNames) -> Any:
    """Return a client of the master that Sentinel names; user and password are those of the master."""
    import redis  # noqa: PLC0415
    from redis import sentinel  # noqa: PLC0415

    made: Any = sentinel.Sentinel  # redis-py has no types for it
    watch = made([], **options, **secret)
    plain = _bounded(names, options["socket_timeout"], "redis")
    watch.sentinels = [
        redis.Redis(connection_pool=redis.ConnectionPool(connection_class=plain, host=host, port=port, **options))
        for host, port in parts.hosts
    ]
    return watch.master_for(
        parts.service,
        db=parts.database,
        max_connections=_MOST_CONNECTIONS,
        connection_class=_bounded(names, options["socket_timeout"], "sentinel"),
    )


def _bounded(names: HostNames, deadline_s: float, scheme: str) -> Any:
    """Return a class of connections that find the addresses of their host by `names`."""
    from redis.connection import Connection, SSLConnection  # noqa: PLC0415
    from redis.sentinel import SentinelManagedConnection  # noqa: PLC0415

    class Bounded(Connection):
        def _connect(self) -> socket.socket:
            return connect(names, self.host, int(self.port), deadline_s)

    if scheme == "redis":
        return Bounded
    base: Any = SSLConnection if scheme == "rediss" else SentinelManagedConnection
    return type("Bounded", (base, Bounded), {})

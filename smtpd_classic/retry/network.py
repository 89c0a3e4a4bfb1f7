"""The services that the retry thread needs, and the network of its sessions."""

import os
import resource
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from smtpd_classic.accounts import Accounts
from smtpd_classic.client.connections import Connections
from smtpd_classic.client.health import Health
from smtpd_classic.client.host_locks import HostLocks
from smtpd_classic.client.local_addresses import LocalAddresses
from smtpd_classic.client.network import Network, OwnHosts
from smtpd_classic.client.slots import TransactionSlots
from smtpd_classic.config.schema import Config
from smtpd_classic.counters import CounterStore
from smtpd_classic.dns import Resolver
from smtpd_classic.log import Log
from smtpd_classic.mailstore.store import MailStore
from smtpd_classic.runtime import Runtime
from smtpd_classic.runtime.hosts import HOSTS_FILE, read_all_marks
from smtpd_classic.schedule import Schedule
from smtpd_classic.srs import Srs
from spool import Spool

__all__ = ["RetryServices", "longest_back_off_s", "most_sessions", "network_for"]

_KEEP_SESSIONS_S = 5.0
_LINGER_S = 0.2
_LOCKS_FILE = "sessions.lock"
_MOST_SESSIONS = 1000
_OTHER_FILES = 200


class RetryServices(Protocol):
    """The services of the process that the retry thread needs; `clock` returns seconds since the epoch."""

    @property
    def config(self) -> Config: ...
    @property
    def accounts(self) -> Accounts: ...
    @property
    def dns(self) -> Resolver: ...
    @property
    def runtime(self) -> Runtime: ...
    @property
    def spool(self) -> Spool: ...
    @property
    def mail_store(self) -> MailStore: ...
    @property
    def log(self) -> Log: ...
    @property
    def clock(self) -> Callable[[], float]: ...
    @property
    def counters(self) -> CounterStore: ...
    def srs(self) -> Srs: ...


def network_for(services: RetryServices) -> Network:
    config = services.config
    remote = config.remote
    connections = Connections(
        remote.max_connections_per_host, _KEEP_SESSIONS_S, time.monotonic, _locks(services), linger_s=_LINGER_S
    )
    health = Health(services.clock, longest_back_off_s(config))
    marks = read_all_marks(os.path.join(services.runtime.folder, HOSTS_FILE), services.clock())
    connections.restore(health.restore(marks))
    network = Network(
        helo_name=config.helo_name,
        resolver=services.dns,
        health=health,
        connections=connections,
        own=OwnHosts(config.helo_name, config.listeners, config.server.public_addresses),
        local=LocalAddresses(remote.source_address, remote.ip_versions, services.dns),
        clock=services.clock,
        max_messages=remote.max_messages_per_connection,
        slots=TransactionSlots(remote.delivery_threads),
    )
    return replace(network, timeouts=network.timeouts._replace(connect=remote.connect_timeout.total_seconds()))


def longest_back_off_s(config: Config) -> float:
    """Return the longest back-off of a host, in seconds: no message waits longer for it than for its next attempt."""
    wait = Schedule.of(config.basic, config.remote).nominal_wait_s(1)
    return min(config.remote.dead_host_time.total_seconds(), wait)


def _locks(services: RetryServices) -> HostLocks | None:
    try:
        return HostLocks(os.path.join(services.runtime.folder, _LOCKS_FILE))
    except OSError as problem:
        services.log.warning("qmgr", f"during a reload hosts may see more sessions than allowed: {problem}")
        return None


def most_sessions(threads: int) -> int:
    """Return how many sessions may be opened or used at once, given so many transactions at once.

    A session that is being opened costs a waiting thread and three descriptors, so the limit of descriptors bounds it.
    """
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(threads, min(_MOST_SESSIONS, (descriptors - _OTHER_FILES) // 3))

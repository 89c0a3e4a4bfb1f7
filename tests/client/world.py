"""A world for transports: names, hosts, options; nothing of it outside of this process."""

import ssl
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache

from smtpd_classic.client.connections import Connections
from smtpd_classic.client.content import MessageContent
from smtpd_classic.client.health import Health
from smtpd_classic.client.local_addresses import LocalAddresses
from smtpd_classic.client.network import Network, OwnHosts, Timeouts, TlsContexts
from smtpd_classic.client.routes import Routes
from smtpd_classic.client.transcript import Transcript
from smtpd_classic.client.transport import DeliveryJob, Outcome, Settle, Transport
from smtpd_classic.config.load import parse
from smtpd_classic.config.schema import Config
from smtpd_classic.dns import FixedResolver, Resolver
from spool import Recipient

__all__ = [
    "MESSAGE",
    "PATIENT",
    "QUICK",
    "Clock",
    "Nobody",
    "config_of",
    "deliver",
    "job_for",
    "network_of",
    "routes_of",
]

MESSAGE = b"From: joe@us.test\nSubject: hello\n\n.A line with a dot.\n\nThe end.\n"
QUICK = Timeouts(2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 20)
PATIENT = QUICK.scaled(10)


class Clock:
    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def config_of(text: str = "", listeners: str = "[listener smtp]\nport = 25\naddress = 192.0.2.1\n") -> Config:
    return parse(f"[server]\nprimary_domain = us.test\n{listeners}{text}", "/nowhere/smtpd-classic.conf")


def network_of(
    config: Config,
    *,
    mx: Mapping[str, Sequence[tuple[int, str]] | Exception] | None = None,
    addresses: Mapping[str, Sequence[str] | Exception] | None = None,
    resolver: Resolver | None = None,
    port: int = 25,
    smtps_port: int = 465,
    verified: ssl.SSLContext | None = None,
    timeouts: Timeouts = PATIENT,
    clock: Clock | None = None,
) -> Network:
    tls = _tls()
    return Network(
        helo_name=config.helo_name,
        resolver=resolver or FixedResolver(mx, addresses),
        health=Health(clock or time.time, config.remote.dead_host_time.total_seconds()),
        connections=Connections(config.remote.max_connections_per_host, 5.0, time.monotonic),
        own=OwnHosts(config.helo_name, config.listeners, config.server.public_addresses),
        local=LocalAddresses(config.remote.source_address, config.remote.ip_versions, resolver),
        clock=clock or time.time,
        timeouts=timeouts,
        tls=replace(tls, verified=verified) if verified else tls,
        smtp_port=port,
        smtps_port=smtps_port,
        max_messages=config.remote.max_messages_per_connection,
    )


@cache
def _tls() -> TlsContexts:
    """Once: reading the certificates of all the world takes a while."""
    return TlsContexts()


@dataclass
class Nobody:
    """A transport for mail that should not come its way."""

    def deliver(self, job: DeliveryJob, settle: Settle) -> None:
        raise AssertionError(f"local delivery of {job}")


def routes_of(config: Config, network: Network, local: tuple[str, ...] = ("us.test",)) -> Routes:
    return Routes(config, network, Nobody(), lambda domain: domain in local)


def job_for(*recipients: str | Recipient, sender: str = "joe@us.test", content: bytes = MESSAGE) -> DeliveryJob:
    each = tuple(Recipient(one) if isinstance(one, str) else one for one in recipients)
    return DeliveryJob("Q1", sender, each, MessageContent.of(content), Transcript())


def deliver(transport: Transport, job: DeliveryJob) -> dict[str, Outcome]:
    """The outcome of each recipient, of which there must be exactly one."""
    found: list[Outcome] = []
    transport.deliver(job, found.extend)
    outcomes = {outcome.recipient: outcome for outcome in found}
    assert len(found) == len(outcomes), f"settled twice: {found}"
    assert outcomes.keys() == {recipient.address for recipient in job.recipients}, job.transcript.text
    return outcomes

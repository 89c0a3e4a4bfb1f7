"""A network apart from that of deliveries, for tests and questions."""

import time

from smtpd_classic.client.connections import Connections
from smtpd_classic.client.health import Health
from smtpd_classic.client.local_addresses import LocalAddresses
from smtpd_classic.client.network import Network, OwnHosts
from smtpd_classic.config.schema import Config
from smtpd_classic.dns import Resolver

__all__ = ["separate_network"]


def separate_network(config: Config, resolver: Resolver) -> Network:
    """Return a network that shares no connections with deliveries, and marks no host as failing."""
    return Network(
        helo_name=config.helo_name,
        resolver=resolver,
        health=Health(time.time, 1.0),
        connections=Connections(1, 0.0, time.monotonic),
        own=OwnHosts(config.helo_name, config.listeners, config.server.public_addresses),
        clock=time.time,
        local=LocalAddresses(config.remote.source_address, config.remote.ip_versions, resolver),
    )

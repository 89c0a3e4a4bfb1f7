"""The test of one filter: connect and negotiate, and nothing else."""

import time

from smtpd_classic.config.schema import Milter
from smtpd_classic.milter.connection import Budget, MilterConnection, MilterTimeouts
from smtpd_classic.pool import Neighbour, address_of

__all__ = ["try_filter"]


def try_filter(options: Milter) -> float:
    """Return the seconds that connection and negotiation took. Raises MilterFailure."""
    began = time.monotonic()
    connect_s, command_s = options.connect_timeout.total_seconds(), options.command_timeout.total_seconds()
    neighbour = Neighbour(address_of(options.address), connect_timeout_s=connect_s, max_connections=1)
    with Budget(connect_s + command_s) as budget:
        MilterConnection(neighbour, MilterTimeouts(command_s, command_s), budget).quit()
    return time.monotonic() - began

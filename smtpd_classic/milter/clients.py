"""The filters of a configuration, as one process uses them."""

from collections.abc import Callable
from functools import partial

from smtpd_classic.config.schema import Config, Milter
from smtpd_classic.milter.session import FilterClient
from smtpd_classic.pool import Neighbour, address_of

__all__ = ["filter_clients"]

Report = Callable[[str, str, float], bool]
Count = Callable[[str, str, float], None]
_ACTIONS = {"defer": "deferred", "accept": "accepted without it", "refuse": "refused"}


def filter_clients(
    config: Config, report: Report, count: Count, complain: Callable[[str], None]
) -> tuple[FilterClient, ...]:
    """Return the filters. `report` notes a state and returns True if it has changed; then it is logged. `count` gets
    the name, the result of each message and the seconds that it took."""
    most = config.milter.max_connections
    return tuple(
        FilterClient(
            each, _neighbour(each, most), partial(_reported, each, report, complain), partial(count, each.name)
        )
        for each in config.milters
    )


def _neighbour(options: Milter, max_connections: int) -> Neighbour:
    return Neighbour(
        address_of(options.address),
        connect_timeout_s=options.connect_timeout.total_seconds(),
        max_connections=max_connections,
    )


def _reported(options: Milter, report: Report, complain: Callable[[str], None], reason: str, took_s: float) -> None:
    if not report(options.name, reason, took_s):
        return
    if reason:
        complain(f"milter {options.name} is down, messages are {_ACTIONS[options.when_down]}: {reason}")
    else:
        complain(f"milter {options.name} answers again")

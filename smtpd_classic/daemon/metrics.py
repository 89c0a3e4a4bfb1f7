"""The figures of a server for Prometheus, at /metrics of one address. No other part knows prometheus_client."""

import select
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from smtpd_classic.commands.status import gathered
from smtpd_classic.config import Config
from smtpd_classic.config.hosts import address_and_port
from smtpd_classic.runtime.measures import DELIVERY_BOUNDS_S, REASONS, delivery_measure
from smtpd_classic.services import Services

__all__ = ["Metrics", "metrics_for"]

_REQUEST_S = 5.0
_REUSE_S = 5.0  # a scrape within this time gets the figures of the one before
_HELP = {
    "connections": "Connections of clients",
    "received": "Messages accepted",
    "delivered": "Recipients delivered",
    "deferred": "Deferred recipients, counted at each attempt",
    "rejected": "Refusals",
    "bounced": "Recipients returned to the sender",
    "submitted": "Messages accepted from users and programs of this site",
    "blocked": "Connections refused because the client is blocked",
    "logins_failed": "Failed logins",
    "auth_passed": "Messages that passed DMARC",
    "auth_refused": "Messages refused by the result of SPF, DKIM and DMARC",
    "junk": "Messages put into junk folders",
}


class Metrics:
    """A thread that answers one request after the other; nothing in a request is trusted or kept."""

    def __init__(self, address: str, port: int, figures: Callable[[], dict[str, Any]]) -> None:
        """Listen at once. Raises OSError. Another process that ends may listen there too."""
        from prometheus_client import CollectorRegistry, make_wsgi_app  # noqa: PLC0415 - an optional package

        registry = CollectorRegistry(auto_describe=False)
        registry.register(_Collector(figures))
        kind = type("_Server", (_Server,), {"address_family": socket.AF_INET6 if ":" in address else socket.AF_INET})
        self._server: _Server = kind((address, port), _Handler)
        self._server.set_app(make_wsgi_app(registry))
        self._thread = threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True)

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End the thread, answer the requests that have come, and close the port."""
        self._server.shutdown()
        while select.select([self._server], [], [], 0)[0]:
            self._server.handle_request()
        self._server.server_close()


def metrics_for(services: Services, running: Callable[[], int]) -> Metrics | None:
    """Return the thread, not started; None if it is switched off, or if it cannot listen, which is logged.

    `running` returns the number of transactions with other servers at this moment.
    """
    config = services.config
    if not config.server.metrics:
        return None
    try:
        return Metrics(*address_and_port(config.server.metrics), _Reused(config, running).figures)
    except (OSError, ImportError) as problem:
        services.log.warning("master", f"no metrics at {config.server.metrics}: {problem}")
        return None


class _Server(WSGIServer):
    allow_reuse_port = True  # at a reload the next process listens before this one ends

    def server_bind(self) -> None:
        """Bind without a look-up of the host name, which could wait for DNS."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]
        self.setup_environ()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: the client has gone, or sent no HTTP."""


class _Handler(WSGIRequestHandler):
    timeout = _REQUEST_S

    def log_message(self, *_args: Any) -> None:
        """Log nothing: a scrape every few seconds is no event."""

    def address_string(self) -> str:
        return str(self.client_address[0])


class _Reused:
    """The figures, read again at most every few seconds: a long queue takes a moment to count."""

    def __init__(self, config: Config, running: Callable[[], int]) -> None:
        self._config = config
        self._running = running
        self._read_at = float("-inf")
        self._figures: dict[str, Any] = {}

    def figures(self) -> dict[str, Any]:
        if time.monotonic() - self._read_at > _REUSE_S:
            self._figures = gathered(self._config, time.time())
            self._read_at = time.monotonic()
        return self._figures | {"transactions": self._running()}


class _Collector:
    def __init__(self, figures: Callable[[], dict[str, Any]]) -> None:
        self._figures = figures

    def collect(self) -> Iterator[Any]:
        """Yield the metric families of prometheus_client."""
        from prometheus_client.metrics_core import (  # noqa: PLC0415 - an optional package
            CounterMetricFamily,
            GaugeMetricFamily,
            HistogramMetricFamily,
        )

        found = self._figures()
        measured = found["measured"]
        for name, text in _HELP.items():
            yield CounterMetricFamily(f"smtpd_{name}", text, found["totals"][name])
        refusals = CounterMetricFamily("smtpd_refusals", "Refusals by enhanced status code", labels=["status"])
        for reason in REASONS:
            if measured[f"rejected_{reason}"]:
                refusals.add_metric([reason], measured[f"rejected_{reason}"])
        yield refusals
        yield HistogramMetricFamily(
            "smtpd_delivery_seconds",
            "Time from arrival to delivery",
            buckets=list(_buckets(measured)),
            sum_value=measured["delivery_ms"] / 1000,
        )
        yield CounterMetricFamily("smtpd_syncs", "Messages written to disk durably", measured["syncs"])
        yield CounterMetricFamily("smtpd_sync_seconds", "Time spent in that", measured["sync_us"] / 1e6)
        yield from (GaugeMetricFamily(name, text, value) for name, text, value in _gauges(found))
        yield from _filter_families(found)
        queue = GaugeMetricFamily("smtpd_queue_messages", "Messages in the queue", labels=["state"])
        for state, number in (found["queue"] or {}).items():
            queue.add_metric([state], number)
        yield queue


def _filter_families(found: dict[str, Any]) -> Iterator[Any]:
    """Yield the metric families of milters and DNS lists."""
    from prometheus_client.metrics_core import (  # noqa: PLC0415 - an optional package
        CounterMetricFamily,
        GaugeMetricFamily,
    )

    names = ["milter", "result"]
    milters = CounterMetricFamily("smtpd_milter_messages", "Messages of each milter, by result", labels=names)
    spent = CounterMetricFamily("smtpd_milter_seconds", "Time spent in each milter", labels=["milter"])
    for each in found["milters"]:
        spent.add_metric([each["name"]], each["spent_s"])
        for result, number in each["results"].items():
            milters.add_metric([each["name"], result], number)
    yield from (milters, spent)
    states = GaugeMetricFamily("smtpd_milter_down", "1 while a milter is down", labels=["milter"])
    for each in found["milters"]:
        states.add_metric([each["name"]], each["state"] == "down")
    yield states
    lists = GaugeMetricFamily("smtpd_list_off", "1 while a DNS list is not used", labels=["list"])
    for each in found["lists"]:
        lists.add_metric([each["zone"]], each["state"] == "off")
    yield lists


def _buckets(measured: dict[str, int]) -> Iterator[tuple[str, int]]:
    """Yield each upper bound with the number of deliveries up to it."""
    number = 0
    for bound in (*DELIVERY_BOUNDS_S, float("inf")):
        number += measured[delivery_measure(bound)]
        yield ("+Inf" if bound == float("inf") else f"{bound:g}"), number


def _gauges(found: dict[str, Any]) -> Iterable[tuple[str, str, float]]:
    yield "smtpd_up", "1 while the server runs", 1.0 if found["running"] else 0.0
    yield "smtpd_open_connections", "Clients that are connected, one thread each", found["connections"]
    yield "smtpd_transactions", "Transactions with other servers, one delivery thread each", found["transactions"]
    yield "smtpd_blocked_clients", "Clients that are blocked", found["blocked_clients"]
    yield "smtpd_hosts_backing_off", "Next hops that back off", len(found["hosts"])
    yield "smtpd_queue_oldest_seconds", "Age of the oldest message that is not held", found["queue_oldest_s"]
    if found["certificate_days_left"] is not None:
        yield "smtpd_certificate_days", "Days until the certificate ends", found["certificate_days_left"]

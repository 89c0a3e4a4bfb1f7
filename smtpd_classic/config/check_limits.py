"""Rules about numbers that do not fit together."""

from collections.abc import Iterator
from importlib.util import find_spec
from ipaddress import ip_address

from smtpd_classic.config.hosts import address_and_port
from smtpd_classic.config.kinds import DURATION
from smtpd_classic.config.problem import Finding
from smtpd_classic.config.rule import Rule
from smtpd_classic.config.schema import Config

__all__ = ["RULES"]


def others_may_send_to_a_hundred(config: Config) -> Iterator[Finding]:
    if config.basic.max_recipients < 100 and any(listener.port == 25 for listener in config.listeners):
        said = "other servers expect to be allowed 100 recipients (RFC 5321 4.5.3.1.8)."
        yield Finding("basic", "max_recipients", said, "warning")


def metrics_stay_inside(config: Config) -> Iterator[Finding]:
    if not config.server.metrics:
        return
    if find_spec("prometheus_client") is None:
        said = "metrics needs the Python package prometheus_client (Debian: python3-prometheus-client)."
        yield Finding("server", "metrics", said)
    address = ip_address(address_and_port(config.server.metrics)[0])
    if not (address.is_private or address.is_loopback) or address.is_unspecified:
        said = "every machine that reaches this address can read the figures of the server; choose an internal one."
        yield Finding("server", "metrics", said, "warning")


def waits_grow_towards_their_limit(config: Config) -> Iterator[Finding]:
    basic = config.basic
    if basic.retry_interval > basic.max_retry_interval:
        said = (
            f"retry_interval ({DURATION.format(basic.retry_interval)}) is longer than max_retry_interval "
            f"({DURATION.format(basic.max_retry_interval)})."
        )
        yield Finding("basic", "retry_interval", said)


def a_message_lives_long_enough(config: Config) -> Iterator[Finding]:
    basic = config.basic
    if basic.queue_lifetime < basic.retry_interval:
        said = "a message is given up before its second attempt: queue_lifetime is shorter than retry_interval."
        yield Finding("basic", "queue_lifetime", said, "warning")
    elif basic.delay_notice and basic.delay_notice >= basic.queue_lifetime:
        said = "there will be no delay notices: a message is given up before delay_notice is over."
        yield Finding("basic", "delay_notice", said, "warning")


def a_smaller_limit_is_smaller(config: Config) -> Iterator[Finding]:
    most = config.basic.max_message_size
    for option in ("max_incoming_size", "max_outgoing_size"):
        if most and getattr(config.basic, option) > most:
            said = f"{option} has no effect: max_message_size is smaller."
            yield Finding("basic", option, said, "warning")


def the_host_name_is_whole(config: Config) -> Iterator[Finding]:
    if "." not in config.helo_name:
        option = ("basic", "helo_name") if config.basic.helo_name else ("server", "primary_domain")
        said = f"other servers expect a host name with a domain, not “{config.helo_name}”."
        yield Finding(*option, said, "warning")


RULES: tuple[Rule, ...] = (
    others_may_send_to_a_hundred,
    waits_grow_towards_their_limit,
    a_message_lives_long_enough,
    a_smaller_limit_is_smaller,
    the_host_name_is_whole,
    metrics_stay_inside,
)

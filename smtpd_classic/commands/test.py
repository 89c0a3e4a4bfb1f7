"""`smtpd-classic test`: try the way to the relay, to a direct domain or to a listener, without sending a message."""

import argparse
import json
import os
from collections.abc import Callable

from smtpd_classic.client.network import Network
from smtpd_classic.client.probe import (
    FAILED,
    HostProbe,
    ProbeStep,
    probe_direct,
    probe_listener,
    probe_milter,
    probe_network,
    probe_relay,
)
from smtpd_classic.client.routes import direct_domain_for
from smtpd_classic.commands.failures import Refused, guarded
from smtpd_classic.config import Config, load
from smtpd_classic.config.schema import DirectDomain
from smtpd_classic.dns import DnsResolver

__all__ = ["HELP", "add_arguments", "run"]

HELP = "try a way out or in, without sending a message"
_Told = Callable[[str, ProbeStep], None]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    kinds = parser.add_subparsers(dest="kind", required=True, metavar="KIND")
    relay = kinds.add_parser("relay", help="the relay hosts: look up, connect, TLS, certificate, login")
    direct = kinds.add_parser("direct", help="the hosts of a direct domain, or the mail servers of any domain")
    direct.add_argument("domain", metavar="DOMAIN")
    listener = kinds.add_parser("listener", help="a listener of this server")
    listener.add_argument("name", metavar="NAME")
    milter = kinds.add_parser("milter", help="a milter: connect and negotiate")
    milter.add_argument("name", metavar="NAME")
    for each in (relay, direct, listener, milter):
        each.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    return guarded(lambda: _test(load(args.config), args))


def _test(config: Config, args: argparse.Namespace) -> int:
    network = probe_network(config, DnsResolver(config.server.name_servers))
    found = _KINDS[args.kind](config, network, args, _ignore if args.json else _Printer())
    if args.json:
        rows = [{"host": each.host, "steps": [step._asdict() for step in each.steps]} for each in found]
        print(json.dumps(rows, indent=2, ensure_ascii=False))
    return os.EX_OK if found and all(each.works for each in found) else 1


def _ignore(host: str, step: ProbeStep) -> None:
    pass


class _Printer:
    """Prints each step when it is done, under the name of its host."""

    def __init__(self) -> None:
        self._host = ""

    def __call__(self, host: str, step: ProbeStep) -> None:
        if host != self._host:
            print(host, flush=True)
            self._host = host
        print(f"  {step.name:11} {step.state:8} {step.text}".rstrip(), flush=True)
        if step.state == FAILED and step.advice:
            print(f"  {'':11} {'':8} {step.advice}", flush=True)


def _relay(config: Config, network: Network, args: argparse.Namespace, told: _Told) -> tuple[HostProbe, ...]:
    del args
    if not config.remote.relay_hosts:
        raise Refused("no relay is configured: relay_hosts in [remote] is blank.", os.EX_DATAERR)
    return probe_relay(config, network, told)


def _direct(config: Config, network: Network, args: argparse.Namespace, told: _Told) -> tuple[HostProbe, ...]:
    domain = args.domain.lower().removesuffix(".")
    return probe_direct(config, direct_domain_for(config, domain) or DirectDomain(name=domain, hosts=()), network, told)


def _listener(config: Config, network: Network, args: argparse.Namespace, told: _Told) -> tuple[HostProbe, ...]:
    listener = next((each for each in config.listeners if each.name == args.name), None)
    if listener is None:
        names = ", ".join(each.name for each in config.listeners) or "none"
        raise Refused(f"there is no listener “{args.name}”; there are: {names}.", os.EX_DATAERR)
    if listener.is_lmtp:
        raise Refused("this listener speaks LMTP, which the test does not.", os.EX_DATAERR)
    if listener.proxy_protocol:
        raise Refused("this listener takes connections of a proxy alone (proxy_protocol).", os.EX_DATAERR)
    return probe_listener(config, listener, network, told)


def _milter(config: Config, network: Network, args: argparse.Namespace, told: _Told) -> tuple[HostProbe, ...]:
    del network
    milter = next((each for each in config.milters if each.name == args.name), None)
    if milter is None:
        names = ", ".join(each.name for each in config.milters) or "none"
        raise Refused(f"there is no milter “{args.name}”; there are: {names}.", os.EX_DATAERR)
    return probe_milter(milter, told)


_KINDS: dict[str, Callable[[Config, Network, argparse.Namespace, _Told], tuple[HostProbe, ...]]] = {
    "relay": _relay,
    "direct": _direct,
    "listener": _listener,
    "milter": _milter,
}

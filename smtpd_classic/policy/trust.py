"""Clients trusted because of their address: Trusted Hosts, and hosts of direct domains that confer trust."""

import ipaddress
import time
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

from smtpd_classic.config.kinds import NETWORKS, Host, Network
from smtpd_classic.config.schema import Config, DirectDomain
from smtpd_classic.dns import DnsFailure, NoSuchDomain, Resolver
from smtpd_classic.policy.networks import Networks, plain_ip

__all__ = ["Trust"]

_REMEMBERED_S = 60.0
_PATIENCE_S = 2.0


class _Named(NamedTuple):
    """A host that confers trust by its name, because the administrator has switched it on."""

    domain: str
    name: str


def _ip(host: Host) -> Network | None:
    try:
        return ipaddress.ip_network(host.name)
    except ValueError:
        return None


def _trusting(direct: DirectDomain, host: Host) -> bool:
    """Return True if the host confers trust. "automatic" means an IP address without credentials. Names never confer
    trust unless switched on."""
    if direct.trust_hosts == "automatic":
        return _ip(host) is not None and not host.user
    return direct.trust_hosts == "yes"


class Trust:
    def __init__(self, config: Config, dns: Resolver, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._hosts = Networks(config.trusted.hosts)
        self._direct: dict[str, str] = {}
        self._named: list[_Named] = []
        self._dns = dns
        self._monotonic = monotonic
        self._resolved: dict[tuple[str, int], tuple[float, frozenset[str]]] = {}
        self._by_address = lru_cache(1024)(self._address_reason)
        for direct in config.direct_domains:
            for host in direct.hosts:
                if _trusting(direct, host):
                    self._add(direct.name, host)

    def _add(self, domain: str, host: Host) -> None:
        address = plain_ip(host.name)
        if address is not None:
            self._direct.setdefault(str(address), f"the host {host.name} of [direct {domain}]")
        else:
            self._named.append(_Named(domain, host.name))

    def reason(self, ip: str) -> str:
        """Return the reason for trusting a client with this address, or blank. Raises DnsFailure if the decision
        depends on a host name that did not resolve."""
        reason = self._by_address(ip)
        if reason or not self._named:
            return reason
        address = plain_ip(ip)
        return "" if address is None else self._by_name(str(address))

    def _address_reason(self, ip: str) -> str:
        network = self._hosts.find(ip)
        if network is not None:
            return f"{NETWORKS.format((network,))} in Trusted Hosts"
        return self._direct.get(str(plain_ip(ip)), "")

    def _by_name(self, ip: str) -> str:
        failure = ""
        for named in self._named:
            try:
                if ip in self._addresses(named.name, 6 if ":" in ip else 4):
                    return f"the host {named.name} of [direct {named.domain}]"
            except DnsFailure as problem:
                failure = str(problem)
        if failure:
            raise DnsFailure(failure)
        return ""

    def _addresses(self, name: str, version: int) -> frozenset[str]:
        """Return the addresses of one IP version: those of the other cannot decide. Raises DnsFailure."""
        now = self._monotonic()
        known = self._resolved.get((name, version))
        if known is not None and now < known[0]:
            return known[1]
        try:
            found = self._dns.addresses(name, timeout_s=_PATIENCE_S, version=version)
        except NoSuchDomain:
            found = ()
        addresses = frozenset(str(plain_ip(each)) for each in found)
        self._resolved[name, version] = (now + _REMEMBERED_S, addresses)
        return addresses

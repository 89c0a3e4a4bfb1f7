"""Open relays: configurations that let strangers send to any address, and the complaints about them.

Spammers find an open relay within hours, and other servers block it within days. Such a configuration is refused
unless the file confirms that it is wanted, or only this machine can connect.
"""

import ipaddress
from collections.abc import Iterable, Iterator

from smtpd_classic.config.kinds import Network
from smtpd_classic.config.problem import Finding
from smtpd_classic.config.schema import Config

__all__ = [
    "holds_loopback",
    "holds_most_addresses",
    "is_reachable",
    "large_networks_are_rarely_meant",
    "open_relay_must_be_confirmed",
    "open_relay_reasons",
    "widest",
]

_ALL_PUBLIC_IPV6 = ipaddress.IPv6Network("2000::/3")
_MAPPED_IPV4 = ipaddress.IPv6Network("::ffff:0:0/96")
_LOOPBACK = (ipaddress.IPv4Network("127.0.0.0/8"), ipaddress.IPv6Network("::1/128"))


def open_relay_reasons(config: Config) -> tuple[str, ...]:
    """Return the reasons why this configuration is an open relay, a sentence each; empty when it is none."""
    return tuple(finding.text for finding in _reasons(config))


def open_relay_must_be_confirmed(config: Config) -> Iterator[Finding]:
    tolerated = config.basic.open_relay_confirmed or not is_reachable(config)
    advice = "" if tolerated else " If that is really wanted, set open_relay_confirmed = yes in [basic]."
    for finding in _reasons(config):
        yield finding._replace(text=finding.text + advice, severity="warning" if tolerated else "error")


def is_reachable(config: Config) -> bool:
    """Return True if other machines can connect. A proxy on this machine lets all of them in."""
    return any(
        listener.proxy_protocol or not all(ipaddress.ip_address(address).is_loopback for address in listener.address)
        for listener in config.listeners
    )


def _reasons(config: Config) -> Iterator[Finding]:
    if not config.basic.close_open_relay:
        said = "close_open_relay is off: strangers may send to any address through this server."
        yield Finding("basic", "close_open_relay", said)
    if holds_most_addresses(config.trusted.hosts):
        said = f"Trusted Hosts hold {widest(config.trusted.hosts)}: nearly every client may send to any address."
        yield Finding("trusted", "hosts", said)
    for domain in config.open_relay.domains:
        if _is_wide(domain):
            yield Finding("open-relay", "domains", f"Open Relay Domains hold “{domain}”: {_wide_meaning(domain)}")
    for direct in config.direct_domains:
        if direct.open and _is_wide(direct.name):
            said = f"[direct {direct.name}] is open: {_wide_meaning(direct.name)}"
            yield Finding(f"direct {direct.name}", "open", said)
    yield from _forged_clients(config)


def _forged_clients(config: Config) -> Iterator[Finding]:
    trusting = config.trusted.hosts or any(direct.trust_hosts != "no" for direct in config.direct_domains)
    for listener in config.listeners:
        if trusting and holds_most_addresses(listener.proxy_protocol):
            said = (
                f"listener {listener.name} takes the PROXY protocol from every address: "
                "a client that claims to be a trusted host may send to any address."
            )
            yield Finding(f"listener {listener.name}", "proxy_protocol", said)


def large_networks_are_rarely_meant(config: Config) -> Iterator[Finding]:
    if holds_most_addresses(config.trusted.hosts):
        return
    for network in config.trusted.hosts:
        if network.prefixlen < (8 if network.version == 4 else 16):
            said = f"Trusted Hosts hold {network}, a very large network: all of it may send without logging in."
            yield Finding("trusted", "hosts", said, "warning")


def _is_wide(pattern: str) -> bool:
    """`.`, `*`, or a top-level domain with or without its dot."""
    return "." not in pattern.removeprefix(".")


def _wide_meaning(pattern: str) -> str:
    if pattern in {".", "*"}:
        return "strangers may send to every domain through this server."
    return "it is a top-level domain, and strangers may send to it through this server."


def holds_most_addresses(networks: Iterable[Network]) -> bool:
    """Return True for at least half of all IPv4 or of all public IPv6 addresses, in one network or in many."""
    fourth: list[ipaddress.IPv4Network] = []
    sixth: list[ipaddress.IPv6Network] = []
    for network in networks:
        if isinstance(network, ipaddress.IPv4Network):
            fourth.append(network)
            continue
        sixth.append(network)
        if network.subnet_of(_MAPPED_IPV4):
            host = int(network.network_address) & 0xFFFFFFFF
            fourth.append(ipaddress.IPv4Network((host, network.prefixlen - 96)))
        elif network.supernet_of(_MAPPED_IPV4):
            fourth.append(ipaddress.IPv4Network("0.0.0.0/0"))
    public = [each for each in map(_public_part, sixth) if each]
    in_fourth = sum(network.num_addresses for network in ipaddress.collapse_addresses(fourth))
    in_public = sum(network.num_addresses for network in ipaddress.collapse_addresses(public))
    return in_fourth >= 2**31 or in_public >= _ALL_PUBLIC_IPV6.num_addresses // 2


def _public_part(network: ipaddress.IPv6Network) -> ipaddress.IPv6Network | None:
    if network.supernet_of(_ALL_PUBLIC_IPV6):
        return _ALL_PUBLIC_IPV6
    return network if network.subnet_of(_ALL_PUBLIC_IPV6) else None


def widest(networks: Iterable[Network]) -> Network:
    """Return the largest network."""
    return min(networks, key=lambda network: network.prefixlen)


def holds_loopback(networks: Iterable[Network]) -> bool:
    return any(network.version == own.version and network.overlaps(own) for network in networks for own in _LOOPBACK)

"""Sets of networks. One look-up a connection is fast, however long the lists are."""

import ipaddress
from collections.abc import Iterable
from functools import lru_cache

from smtpd_classic.config.kinds import Network

__all__ = ["Networks", "plain_ip"]


@lru_cache(1024)
def plain_ip(ip: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return the address without a zone, and `::ffff:192.0.2.1` as 192.0.2.1; None if the text is no address."""
    try:
        found = ipaddress.ip_address(ip.partition("%")[0])
    except ValueError:
        return None
    return (found.version == 6 and found.ipv4_mapped) or found


def _plain_network(network: Network) -> Network:
    if not isinstance(network, ipaddress.IPv6Network) or network.prefixlen < 96:
        return network
    first = network.network_address.ipv4_mapped
    return network if first is None else ipaddress.ip_network(f"{first}/{network.prefixlen - 96}")


class Networks:
    """A set of networks: one dictionary for each length of prefix, from the first bits of an address to its network."""

    __slots__ = ("_tables",)

    def __init__(self, networks: Iterable[Network]) -> None:
        tables: dict[tuple[int, int], dict[int, Network]] = {}
        for network in networks:
            plain = _plain_network(network)
            shift = plain.max_prefixlen - plain.prefixlen
            tables.setdefault((plain.version, shift), {})[int(plain.network_address) >> shift] = network
        self._tables = tuple((version, shift, table) for (version, shift), table in sorted(tables.items()))

    def __bool__(self) -> bool:
        return bool(self._tables)

    def find(self, ip: str) -> Network | None:
        """Return the narrowest network that holds the address, as it was written."""
        address = plain_ip(ip) if self._tables else None
        if address is None:
            return None
        number, version = int(address), address.version
        for each, shift, table in self._tables:
            if each == version:
                found = table.get(number >> shift)
                if found is not None:
                    return found
        return None

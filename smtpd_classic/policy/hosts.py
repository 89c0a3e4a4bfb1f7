"""Lists of addresses, networks, host names and `.domains` that match clients."""

import ipaddress
from collections.abc import Iterable

from smtpd_classic.domain_name import comparable_domain
from smtpd_classic.policy.networks import Networks, plain_ip

__all__ = ["HostPatterns"]


class HostPatterns:
    """A list of hosts. A name counts only as the verified name of a client."""

    def __init__(self, patterns: Iterable[str]) -> None:
        networks = []
        names: set[str] = set()
        for pattern in patterns:
            try:
                networks.append(ipaddress.ip_network(pattern))
            except ValueError:
                names.add(comparable_domain(pattern))
        self._networks = Networks(networks)
        self._names = frozenset(name for name in names if not name.startswith("."))
        self._suffixes = tuple(name for name in names if name.startswith("."))

    def holds(self, ip: str, name: str) -> bool:
        """Return whether the client with this address and verified name is in the list."""
        if plain_ip(ip) is not None and self._networks.find(ip) is not None:
            return True
        name = comparable_domain(name)
        return name in self._names or (bool(self._suffixes) and name.endswith(self._suffixes))

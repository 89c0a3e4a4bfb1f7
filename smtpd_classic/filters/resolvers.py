"""The name servers that this machine asks, and those among them that are public: DNS lists do not answer these."""

from collections.abc import Iterable

from smtpd_classic.config.schema import Config

__all__ = ["name_servers", "public_resolver_problem", "public_resolvers"]

_PUBLIC = {
    "8.8.8.8": "Google",
    "8.8.4.4": "Google",
    "2001:4860:4860::8888": "Google",
    "2001:4860:4860::8844": "Google",
    "1.1.1.1": "Cloudflare",
    "1.0.0.1": "Cloudflare",
    "2606:4700:4700::1111": "Cloudflare",
    "2606:4700:4700::1001": "Cloudflare",
    "9.9.9.9": "Quad9",
    "149.112.112.112": "Quad9",
    "208.67.222.222": "OpenDNS",
    "208.67.220.220": "OpenDNS",
}


def public_resolvers(addresses: Iterable[str]) -> tuple[str, ...]:
    """Return the names of the public resolvers among these addresses, in alphabetical order."""
    return tuple(sorted({_PUBLIC[each] for each in addresses if each in _PUBLIC}))


def name_servers(config: Config) -> tuple[str, ...]:
    """Return the addresses of the name servers that are asked."""
    if config.server.name_servers:
        return tuple(address for address, _ in config.server.name_servers)
    try:
        with open("/etc/resolv.conf", encoding="utf-8", errors="replace") as file:
            words = [line.split() for line in file]
    except OSError:
        return ()
    return tuple(each[1] for each in words if len(each) > 1 and each[0] == "nameserver")


def public_resolver_problem(addresses: Iterable[str]) -> str:
    """Return the reason why allowlists are not used through these name servers, or blank."""
    shared = public_resolvers(addresses)
    return f"the resolver is that of {' and '.join(shared)}; use one of your own" if shared else ""

"""The places on which the server listens, in words."""

from collections.abc import Sequence

from smtpd_classic.runtime import Listening
from tui.widgets.text import clean

__all__ = ["places_of"]


def places_of(listening: Sequence[Listening]) -> str:
    """Return the ports with their TLS, and the addresses: once if all ports have the same; sockets stand at the end."""
    found: dict[tuple[int, str], list[str]] = {}
    for each in listening:
        if each.port:
            found.setdefault((each.port, each.tls), []).append(clean(each.address))
    sockets = [f"{clean(each.place)} ({each.tls})" for each in listening if not each.port]
    addresses = {", ".join(each) for each in found.values()}
    if len(addresses) == 1:
        ports = ", ".join(f"{port} ({tls})" for port, tls in found)
        return "; ".join([f"{ports} on {addresses.pop()}", *sockets])
    return "; ".join([*(f"{port} ({tls}) on {', '.join(each)}" for (port, tls), each in found.items()), *sockets])

"""The addresses of this machine's network interfaces."""

import socket

__all__ = ["is_interface_address"]


def is_interface_address(ip: str) -> bool:
    """Return True if this machine has the address: only then can it be bound."""
    family = socket.AF_INET6 if ":" in ip else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((ip, 0))
        except OSError:
            return False
    return True

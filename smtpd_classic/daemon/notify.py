"""Telling systemd how the daemon is: sd_notify(3), spoken directly."""

import os
import socket
import time

__all__ = ["ready", "reloading", "status", "stopping"]


def ready(text: str) -> None:
    """After the start, and again after a reload."""
    _notify(f"READY=1\nSTATUS={text}\n")


def reloading() -> None:
    # systemd measures from this stamp whether READY=1 belongs to this reload (Type=notify-reload).
    _notify(f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}\nSTATUS=Reloading\n")


def status(text: str) -> None:
    _notify(f"STATUS={text}\n")


def stopping() -> None:
    _notify("STOPPING=1\nSTATUS=Finishing open sessions\n")


def _notify(message: str) -> None:
    """Do nothing without NOTIFY_SOCKET, and ignore failures."""
    path = os.environ.get("NOTIFY_SOCKET", "")
    if not path.startswith(("/", "@")):
        return
    address = "\0" + path[1:] if path[0] == "@" else path
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
        sender.setblocking(False)
        try:
            sender.sendto(message.encode(), address)
        except OSError:
            return

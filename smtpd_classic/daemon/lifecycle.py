"""The end of a child process: its orders and its deadlines."""

import select
import signal
import socket
import time
from contextlib import suppress

from smtpd_classic.daemon.signals import Signals
from smtpd_classic.server.listener_server import Receiver

__all__ = [
    "DETACH",
    "DETACH_S",
    "DRAIN",
    "DRAIN_CONTENT_S",
    "HAND_OVER_S",
    "PICKUP_S",
    "READY",
    "STOP",
    "STOP_S",
    "ControlChannel",
    "Draining",
]

READY, DRAIN, STOP, DETACH = b"r", b"d", b"s", b"l"  # one octet each, between the supervisor and a child
STOP_S = 5.0  # for sessions and deliveries after SIGTERM
DRAIN_CONTENT_S = 300.0  # after a reload, a message that is being sent
DETACH_S = 2.0  # for the step of the retry thread that runs at a reload
HAND_OVER_S = 20.0  # for deliveries after a reload; the successor does the rest
PICKUP_S = 1.0  # for a message from maildrop/; an unfinished one is fetched again
_DRAIN_S = 30.0  # after a reload, everything else
_DRAIN_SILENCE_S = 3.0  # after a reload, a client that says nothing
_LAST_WORDS_S = 1.0


class ControlChannel:
    """The orders to a child: from the supervisor, by the supervisor's end, or by SIGTERM."""

    def __init__(self, supervisor: socket.socket) -> None:
        self._supervisor = supervisor
        self._signals = Signals({signal.SIGTERM}, {signal.SIGINT, signal.SIGHUP})

    def filenos(self) -> tuple[int, int]:
        """Wait for these to be readable."""
        return self._supervisor.fileno(), self._signals.fileno()

    def ready(self) -> None:
        self._supervisor.send(READY)

    def detach(self) -> None:
        """Tell the supervisor that this process takes no new work."""
        with suppress(OSError):
            self._supervisor.send(DETACH)

    def wait(self) -> None:
        """Wait until there may be a word."""
        poll = select.poll()
        for fd in self.filenos():
            poll.register(fd, select.POLLIN)
        poll.poll()

    def word(self) -> bytes:
        """DRAIN, STOP, or blank for nothing."""
        if self._signals.read():
            return STOP
        try:
            return self._supervisor.recv(1, socket.MSG_DONTWAIT) or STOP
        except BlockingIOError:
            return b""
        except OSError:
            return STOP


class Draining:
    """The end of a receiver, bounded: a client that is silent goes first, one that is sending a message last."""

    def __init__(self, receiver: Receiver, *, stop: bool) -> None:
        self._receiver = receiver
        now = time.monotonic()
        self._others_until = now + (STOP_S if stop else _DRAIN_S)
        self._all_until = now + (STOP_S if stop else DRAIN_CONTENT_S)
        receiver.drain(0.0 if stop else _DRAIN_SILENCE_S)

    def done(self) -> bool:
        """Return True at the end. Call it several times a second: each call ends the connections whose time is over."""
        now = time.monotonic()
        if now >= self._others_until:
            self._receiver.cut_all(but_content=now < self._all_until)
        else:
            self._receiver.cut_silent()
        return not self._receiver.connections or now >= self._all_until + _LAST_WORDS_S

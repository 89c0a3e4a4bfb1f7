"""A server in one process (workers = 1), for tiny machines and debugging; it reloads without a fork."""

import os
import signal
import threading
from typing import NamedTuple

from smtpd_classic.accounts import AccountsUnreadable
from smtpd_classic.daemon import notify
from smtpd_classic.daemon.children import receiver_for, services_for, sweep_up
from smtpd_classic.daemon.instance import Generation, Instance
from smtpd_classic.daemon.lifecycle import HAND_OVER_S, STOP_S, Draining
from smtpd_classic.daemon.sending import Sending
from smtpd_classic.daemon.signals import Signals
from smtpd_classic.filters.list_watch import ListWatch
from smtpd_classic.server.acceptor import Acceptor
from smtpd_classic.server.listener_server import Receiver
from smtpd_classic.server.tls import CertificateProblem
from smtpd_classic.services import Services

__all__ = ["Single"]

_COLUMN = 1
_TICK_S = 0.05
_REST_S = 60.0


class _Parts(NamedTuple):
    """The parts of one generation."""

    services: Services
    receiver: Receiver
    sending: Sending


class _Leaving:
    """A generation whose sessions and deliveries come to their end after a reload."""

    def __init__(self, parts: _Parts, successor: _Parts) -> None:
        self._parts, self._successor = parts, successor
        parts.sending.detach()
        self._draining = Draining(parts.receiver, stop=False)
        self._ending = threading.Thread(target=parts.sending.stop, args=(HAND_OVER_S,), daemon=True)
        self._ending.start()

    def done(self) -> bool:
        """Return True at the end. Call it several times a second, as `Draining.done`."""
        if not self._draining.done() or self._ending.is_alive():
            return False
        self._parts.services.close(self._successor.services)
        return True


class Single:
    """The whole server in this process: `run()` once."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self._signals = Signals({signal.SIGTERM, signal.SIGINT, signal.SIGHUP})
        self._acceptor = Acceptor((self._signals.fileno(),), instance.setting.log)
        self._leaving: list[_Leaving] = []
        self._lists = ListWatch(())

    def run(self) -> int:
        """Serve until SIGTERM, and return the exit status."""
        setting = self._instance.setting
        setting.runtime.counters.attach(_COLUMN)
        parts = self._begin(setting)
        self._say("running")
        self._instance.ready()
        while True:
            self._acceptor.run(_TICK_S if self._leaving else _REST_S)
            asked = self._signals.read()
            if asked & {signal.SIGTERM, signal.SIGINT}:
                self._stop(parts)
                return os.EX_OK
            if signal.SIGHUP in asked:
                parts = self._reload(parts)
            self._leaving = [each for each in self._leaving if not each.done()]
            if not asked and not self._leaving:
                setting.runtime.blocks.sweep()

    def _begin(self, setting: Generation, before: _Parts | None = None) -> _Parts:
        services = services_for(setting, before.services if before is not None else None)
        receiver = receiver_for(services, setting.sockets)
        sending = Sending(services)
        self._lists.stop()
        self._lists = ListWatch(services.dns_lists)
        self._lists.start()
        self._acceptor.serve(receiver.servers)
        sending.start()
        threading.Thread(target=sweep_up, args=(services,), daemon=True).start()
        return _Parts(services, receiver, sending)

    def _reload(self, parts: _Parts) -> _Parts:
        """Give new clients the new configuration; connected ones keep the old one."""
        notify.reloading()
        fresh = self._instance.load_again()
        if fresh is not None:
            try:
                successor = self._begin(fresh, parts)
            except (CertificateProblem, AccountsUnreadable) as problem:
                self._instance.give_up(fresh, str(problem))
            else:
                self._leaving.append(_Leaving(parts, successor))
                self._instance.take(fresh)
                parts = successor
        self._say("running")
        self._instance.ready()
        return parts

    def _stop(self, parts: _Parts) -> None:
        notify.stopping()
        self._say("stopping")
        self._acceptor.serve(())
        parts.receiver.close()
        ending = threading.Thread(target=parts.sending.stop, args=(STOP_S,), daemon=True)
        ending.start()
        draining = Draining(parts.receiver, stop=True)
        while not draining.done():
            self._acceptor.run(_TICK_S)
            self._signals.read()
        ending.join(STOP_S)
        parts.services.end()

    def _say(self, state: str) -> None:
        self._instance.say(state, {"all in one": os.getpid()})

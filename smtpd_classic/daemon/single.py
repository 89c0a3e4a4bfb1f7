"""A server in one process (workers = 1), for tiny machines and debugging; it reloads without a fork."""

import os
import signal
import threading

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

__all__ = ["Single"]

_COLUMN = 1
_TICK_S = 0.05
_REST_S = 60.0


class Single:
    """The whole server in this process: `run()` once."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self._signals = Signals({signal.SIGTERM, signal.SIGINT, signal.SIGHUP})
        self._acceptor = Acceptor((self._signals.fileno(),), instance.setting.log)
        self._draining: list[Draining] = []
        self._lists = ListWatch(())
        self._sending: Sending

    def run(self) -> int:
        """Serve until SIGTERM, and return the exit status."""
        setting = self._instance.setting
        setting.runtime.counters.attach(_COLUMN)
        receiver, self._sending = self._begin(setting)
        self._say("running")
        self._instance.ready()
        while True:
            self._acceptor.run(_TICK_S if self._draining else _REST_S)
            asked = self._signals.read()
            if asked & {signal.SIGTERM, signal.SIGINT}:
                self._stop(receiver)
                return os.EX_OK
            if signal.SIGHUP in asked:
                receiver = self._reload(receiver)
            self._draining = [draining for draining in self._draining if not draining.done()]
            if not asked and not self._draining:
                setting.runtime.blocks.sweep()

    def _begin(self, setting: Generation) -> tuple[Receiver, Sending]:
        services = services_for(setting)
        receiver = receiver_for(services, setting.sockets)
        sending = Sending(services)
        self._lists.stop()
        self._lists = ListWatch(services.dns_lists)
        self._lists.start()
        self._acceptor.serve(receiver.servers)
        sending.start()
        threading.Thread(target=sweep_up, args=(services,), daemon=True).start()
        return receiver, sending

    def _reload(self, receiver: Receiver) -> Receiver:
        """Give new clients the new configuration; connected ones keep the old one."""
        notify.reloading()
        fresh = self._instance.load_again()
        if fresh is not None:
            try:
                successor, sending = self._begin(fresh)
            except (CertificateProblem, AccountsUnreadable) as problem:
                self._instance.give_up(fresh, str(problem))
            else:
                self._sending.detach()
                self._draining.append(Draining(receiver, stop=False))
                threading.Thread(target=self._sending.stop, args=(HAND_OVER_S,), daemon=True).start()
                self._sending = sending
                self._instance.take(fresh)
                receiver = successor
        self._say("running")
        self._instance.ready()
        return receiver

    def _stop(self, receiver: Receiver) -> None:
        notify.stopping()
        self._say("stopping")
        self._acceptor.serve(())
        receiver.close()
        ending = threading.Thread(target=self._sending.stop, args=(STOP_S,), daemon=True)
        ending.start()
        draining = Draining(receiver, stop=True)
        while not draining.done():
            self._acceptor.run(_TICK_S)
            self._signals.read()
        ending.join(STOP_S)

    def _say(self, state: str) -> None:
        self._instance.say(state, {"all in one": os.getpid()})

"""A server in one process (workers = 1), for tiny machines and debugging; it reloads without a fork."""

import os
import signal
import threading

from smtpd_classic import notify
from smtpd_classic.acceptor import Acceptor
from smtpd_classic.accounts import AccountsUnreadable
from smtpd_classic.children import receiver_for, services_for, sweep_up
from smtpd_classic.instance import Instance, Setting
from smtpd_classic.life import HAND_OVER_S, STOP_S, Draining
from smtpd_classic.retry import RetryThread
from smtpd_classic.server import Receiver
from smtpd_classic.signals import Signals
from smtpd_classic.tls import CertificateProblem

__all__ = ["Single"]

_COLUMN = 1
_TICK_S = 0.05
_REST_S = 60.0


class Single:
    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self._signals = Signals({signal.SIGTERM, signal.SIGINT, signal.SIGHUP})
        self._acceptor = Acceptor((self._signals.fileno(),), instance.setting.log)
        self._draining: list[Draining] = []
        self._retry: RetryThread

    def run(self) -> int:
        """Until SIGTERM; the exit status."""
        setting = self._instance.setting
        setting.runtime.counters.attach(_COLUMN)
        receiver, self._retry = self._begin(setting)
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

    def _begin(self, setting: Setting) -> tuple[Receiver, RetryThread]:
        services = services_for(setting)
        receiver, retry = receiver_for(services, setting.sockets), RetryThread(services)
        self._acceptor.serve(receiver.servers)
        retry.start()
        threading.Thread(target=sweep_up, args=(services,), daemon=True).start()
        return receiver, retry

    def _reload(self, receiver: Receiver) -> Receiver:
        """New clients find the new setting; those that are here keep the old one."""
        notify.reloading()
        fresh = self._instance.load_again()
        if fresh is not None:
            try:
                successor, retry = self._begin(fresh)
            except (CertificateProblem, AccountsUnreadable) as problem:
                self._instance.give_up(fresh, str(problem))
            else:
                self._draining.append(Draining(receiver, stop=False))
                threading.Thread(target=self._retry.stop, args=(HAND_OVER_S,), daemon=True).start()
                self._retry = retry
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
        ending = threading.Thread(target=self._retry.stop, args=(STOP_S,), daemon=True)
        ending.start()
        draining = Draining(receiver, stop=True)
        while not draining.done():
            self._acceptor.run(_TICK_S)
            self._signals.read()
        ending.join(STOP_S)

    def _say(self, state: str) -> None:
        self._instance.say(state, {"all in one": os.getpid()})

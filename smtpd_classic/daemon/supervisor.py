"""The supervisor: it serves no client, has children that do, and replaces those that die.

It has no threads, so that a fork is a clean copy. It reads the configuration once for a reload, and the children born
from then on have that `Config` for life (invariant 8).
"""

import gc
import os
import select
import signal
import socket
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NoReturn

from smtpd_classic.daemon import notify, processors
from smtpd_classic.daemon.child import Child
from smtpd_classic.daemon.instance import Generation, Instance
from smtpd_classic.daemon.lifecycle import DRAIN, DRAIN_CONTENT_S, READY, STOP, STOP_S
from smtpd_classic.daemon.signals import Signals
from smtpd_classic.log import ERROR

__all__ = ["Life", "Supervisor"]

Life = Callable[[Generation, socket.socket], None]
"""The work of a child, with the socket to the supervisor."""

_READY_S = 20.0
_SPARE_STARTS = 10
_GRACE_S = 3.0
_HEALTHY_S = 10.0  # a child that lived so long did not die of its start
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 10.0
_SWEEP_S = 60.0
_SIGNALS = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD}


@dataclass(slots=True)
class _WorkerSlot:
    """A place that a child has left, and when it is to be taken again."""

    role: str
    at: float


class Supervisor:
    """`lives` are what children do by the name of their role, `roles` the children to have, and `sweep` what a short
    one does after each death."""

    def __init__(self, instance: Instance, lives: dict[str, Life], roles: Iterable[str], sweep: Life) -> None:
        self._instance = instance
        self._lives = lives | {"sweeper": sweep}
        self._roles = tuple(roles)
        self._signals = Signals(_SIGNALS)
        self._children: dict[int, Child] = {}
        self._vacancies: list[_WorkerSlot] = []
        self._pauses: dict[str, float] = {}
        self._processors = processors.allowed()
        self._swept = time.monotonic()

    def run(self) -> int:
        """Run until SIGTERM, and return the exit status."""
        gc.collect()
        gc.freeze()  # the present objects stay shared with the children; the collector would write to all of them
        setting = self._instance.setting
        started = [self._fork(role, setting) for role in self._roles]
        self._fork("sweeper", setting)
        if not self._all_ready(started, setting):
            setting.log.write("master", "fatal: a process could not start", ERROR)
            self._stop()
            return os.EX_SOFTWARE
        self._say("running")
        self._instance.ready()
        while self._turn():
            self._wait()
        self._stop()
        return os.EX_OK

    def _turn(self) -> bool:
        """Do the work that is due. Return False when it is time to stop."""
        asked = self._signals.read()
        self._reap()
        if asked & {signal.SIGTERM, signal.SIGINT}:
            return False
        if signal.SIGHUP in asked:
            self._reload()
        self._fill_vacancies()
        self._kill_overdue()
        if time.monotonic() - self._swept > _SWEEP_S:
            self._swept = time.monotonic()
            self._instance.setting.runtime.blocks.sweep()
        return True

    def _wait(self) -> None:
        times = [vacancy.at for vacancy in self._vacancies]
        times += [child.kill_at for child in self._children.values() if child.kill_at]
        times.append(self._swept + _SWEEP_S)
        self._listen(max(0.01, min(times) - time.monotonic()))

    def _listen(self, timeout_s: float) -> None:
        poll = select.poll()
        poll.register(self._signals.fileno(), select.POLLIN)
        poll.poll(timeout_s * 1000)

    def _say(self, state: str) -> None:
        """Tell how the server is and which children it has, without those that are about to end."""
        lasting = [each for each in self._children.values() if each.lasting]
        named = {f"{child.role} {number}": child.pid for number, child in enumerate(lasting, 1)}
        self._instance.say(state, named)

    # Births ------------------------------------------------------------------------------------------------------

    def _fork(self, role: str, setting: Generation) -> Child:
        counters = self._instance.setting.runtime.counters
        column = 0 if role == "sweeper" else self._column()
        if column:
            counters.reserve(column)
        processor = self._processor(role)
        ours, theirs = socket.socketpair()
        # Until the child hears signals by itself, one for it would be told to us: it still has our pipe.
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        pid = os.fork()
        if pid == 0:
            self._live(role, column, processor, setting, ours, theirs)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        theirs.close()
        child = Child(pid, role, column, processor, ours, time.monotonic())
        self._children[pid] = child
        return child

    def _processor(self, role: str) -> int:
        """Spread the children of one role over all processors, also after deaths."""
        lasting = (each for each in self._children.values() if each.role == role and not each.kill_at)
        return processors.least_used(self._processors, (each.processor for each in lasting))

    def _column(self) -> int:
        """Return a free column of the counters. If too many old children still drain, kill the oldest."""
        while (column := self._instance.setting.runtime.counters.free_column()) is None:
            oldest = min(self._children.values(), key=lambda child: child.born)
            os.kill(oldest.pid, signal.SIGKILL)
            os.waitpid(oldest.pid, 0)
            self._forget(oldest)
        return column

    def _live(
        self, role: str, column: int, processor: int, setting: Generation, ours: socket.socket, theirs: socket.socket
    ) -> NoReturn:
        """Run a child, and end its process."""
        status = os.EX_SOFTWARE
        try:
            os.close(self._instance.lock)
            self._signals.close()
            self._instance.setting.sockets.close(but=setting.sockets)  # ports that this generation has no more
            for link in (ours, *(child.link for child in self._children.values())):
                link.close()  # or the others would not notice the end of the supervisor
            for number in _SIGNALS:
                signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_SETMASK, ())
            if column:  # the sweeper counts nothing, and runs wherever there is time
                setting.runtime.counters.attach(column)
                processors.settle(processor, steps_back=role == "receiver")
            self._lives[role](setting, theirs)
            status = os.EX_OK
        except BaseException as problem:  # any error must be logged, and the child must not become a second supervisor
            setting.log.write("master", f"fatal: {role}: {type(problem).__name__}: {problem}", ERROR)
        finally:
            os._exit(status)

    def _all_ready(self, started: list[Child], setting: Generation) -> bool:
        """Wait for the children, and return True if all are ready. One that was killed (memory may be short) is started
        again, and replaced in `started`; one that ended by itself would do so again."""
        deadline = time.monotonic() + _READY_S
        spare = _SPARE_STARTS
        for number in range(len(started)):
            while started[number].heard(deadline) != READY:
                if not spare or not self._was_killed(started[number], deadline):
                    return False
                spare -= 1
                started[number] = self._fork(started[number].role, setting)
        return True

    def _was_killed(self, child: Child, deadline: float) -> bool:
        pid, status = 0, 0
        while not pid and time.monotonic() < deadline:  # its end of the link closes a moment before it is gone
            pid, status = os.waitpid(child.pid, os.WNOHANG)
            if not pid:
                self._listen(0.01)
        if not pid:
            return False
        self._forget(child)
        self._instance.setting.log.warning("master", f"{child.role} {pid} ended before it was ready")
        return os.waitstatus_to_exitcode(status) < 0

    # Deaths ------------------------------------------------------------------------------------------------------

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            child = self._children.get(pid)
            if child is not None:
                self._forget(child)
                self._on_child_exit(child, os.waitstatus_to_exitcode(status))

    def _forget(self, child: Child) -> None:
        del self._children[child.pid]
        child.link.close()
        if child.column:
            self._instance.setting.runtime.counters.release(child.column)

    def _on_child_exit(self, child: Child, status: int) -> None:
        """Have another take the place of one that was not told to end; soon, but not as fast as it may die again."""
        if not child.lasting:
            return
        how = f"was killed by signal {-status}" if status < 0 else f"ended with status {status}"
        self._instance.setting.log.warning("master", f"{child.role} {child.pid} {how}; another takes its place")
        now = time.monotonic()
        pause = 0.0
        if now - child.born < _HEALTHY_S:
            pause = min(2 * self._pauses.get(child.role, _FIRST_PAUSE_S / 2), _LONGEST_PAUSE_S)
        self._pauses[child.role] = pause or _FIRST_PAUSE_S / 2
        self._vacancies.append(_WorkerSlot(child.role, now + pause))
        self._say("running")

    def _fill_vacancies(self) -> None:
        now = time.monotonic()
        due = [vacancy for vacancy in self._vacancies if vacancy.at <= now]
        for vacancy in due:
            self._vacancies.remove(vacancy)
            self._fork(vacancy.role, self._instance.setting)
        if due:
            self._fork("sweeper", self._instance.setting)
            self._say("running")

    def _kill_overdue(self) -> None:
        now = time.monotonic()
        for child in self._children.values():
            if child.kill_at and child.kill_at <= now:
                os.kill(child.pid, signal.SIGKILL)
                child.kill_at = now + _GRACE_S

    # Reload and end ----------------------------------------------------------------------------------------------

    def _reload(self) -> None:
        """New children first; only when they are ready are the old ones told to finish."""
        instance = self._instance
        notify.reloading()
        self._say("reloading")
        fresh = instance.load_again()
        if fresh is not None:
            old = [child for child in self._children.values() if child.lasting]
            born = [self._fork(role, fresh) for role in self._roles]
            if self._all_ready(born, fresh):
                self._vacancies.clear()
                for child in old:
                    child.tell_to_end(DRAIN, DRAIN_CONTENT_S + STOP_S + _GRACE_S)
                self._until_detached(old)
                instance.take(fresh)
            else:
                for child in born:
                    child.tell_to_end(STOP, STOP_S + _GRACE_S)
                instance.give_up(fresh, "The processes for the new configuration could not start; the log says why.")
        self._say("running")
        instance.ready()

    def _until_detached(self, old: Iterable[Child]) -> None:
        """Wait for the old children to detach, so that after a reload the next client is served by the new file."""
        deadline = time.monotonic() + _GRACE_S
        for child in old:
            while child.heard(deadline) == READY:  # the end of a replaced child has not been waited for
                pass

    def _stop(self) -> None:
        notify.stopping()
        self._say("stopping")
        self._instance.setting.sockets.close()
        for child in self._children.values():
            child.tell_to_end(STOP, STOP_S + _GRACE_S)
        while self._children:
            self._listen(0.1)
            self._signals.read()
            self._reap()
            self._kill_overdue()

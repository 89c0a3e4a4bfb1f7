"""One running server as a whole: the generation in force, its replacement, and status.json.

A `Generation` never changes; a reload makes another, and the one before stays in force until the new one has proved
itself.
"""

import os
import time
from dataclasses import replace
from typing import NamedTuple

from smtpd_classic import __version__
from smtpd_classic.config import Config, ConfigProblems, restart_reasons
from smtpd_classic.daemon import notify
from smtpd_classic.daemon.startup import CannotStart, Started, reloaded
from smtpd_classic.log import ERROR, Log
from smtpd_classic.runtime import DaemonStatus, Runtime, own_status
from smtpd_classic.runtime.status import places
from smtpd_classic.server import local_listener
from smtpd_classic.server.listening import CannotListen, Sockets
from smtpd_classic.server.tls import CertificateProblem
from smtpd_classic.server.wire import prepare

__all__ = ["Generation", "Instance"]


class Generation(NamedTuple):
    """The configuration and sockets of one generation of processes. `waiting`: sentences about pending restarts."""

    config: Config
    sockets: Sockets
    log: Log
    runtime: Runtime
    waiting: tuple[str, ...] = ()


class Instance:
    """The running server. `lock` is the descriptor that keeps a second server away; a child closes it first of all."""

    def __init__(self, started: Started) -> None:
        self.lock = started.lock
        self._spool_lock = started.spool_lock  # the children keep it too
        self.setting = Generation(started.config, started.sockets, started.log, started.runtime)
        self._status = replace(
            own_status(started.config.path, started.config.digest, __version__),
            listening=started.sockets.described(),
            not_listening=started.sockets.complaints,
        )
        self._write()

    @property
    def status(self) -> DaemonStatus:
        return self._status

    def say(self, state: str, children: dict[str, int] | None = None) -> None:
        """Write the state of the server into status.json: starting, running, reloading or stopping."""
        self._status = replace(self._status, state=state, children=children or {})
        self._write()

    def ready(self) -> None:
        notify.ready(f"Listening: {places(self._status.listening)}")

    def load_again(self) -> Generation | None:
        """Return the generation for the file as it is now. Return None if it cannot be made, and log the reason."""
        before = self.setting
        self._status = replace(self._status, generation=self._status.generation + 1)
        try:
            written, config = reloaded(before.config)
            sockets = Sockets.open(config, before.sockets)
        except (ConfigProblems, CertificateProblem, CannotListen, CannotStart) as problem:
            self._refuse(str(problem))
            return None
        log = before.log if before.log.target == config.server.log else Log(config.server.log)
        waiting = restart_reasons(before.config, written)
        return Generation(config, sockets, log, before.runtime.under(config.access), waiting)

    def take(self, fresh: Generation) -> None:
        """Put the new generation into force: its processes are ready."""
        before, self.setting = self.setting, fresh
        before.sockets.remove(but=fresh.sockets)
        self._status = replace(
            self._status,
            digest=fresh.config.digest,
            loaded=time.time(),
            error="",
            error_at=0.0,
            waiting_for_restart=fresh.waiting,
            listening=fresh.sockets.described(),
            not_listening=fresh.sockets.complaints,
        )
        fresh.log.write("master", f"reload -- {fresh.config.path}")
        for sentence in (*fresh.waiting, *fresh.sockets.complaints):
            fresh.log.warning("master", sentence)

    def give_up(self, fresh: Generation, error: str) -> None:
        """Keep the generation in force, because the processes of the new one could not start."""
        fresh.sockets.remove(but=self.setting.sockets)
        for _, found in self.setting.sockets.bound:  # its processes may have set their own deadlines on these
            prepare(found, self.setting.config.access.idle_timeout.total_seconds())
        self._refuse(error)

    def close(self) -> None:
        """Close the sockets, then report that the server has stopped."""
        self.setting.sockets.remove()
        local_listener.unbind(self.setting.runtime.submission_socket)
        self.say("stopped")
        os.close(self._spool_lock)
        os.close(self.lock)

    def _refuse(self, error: str) -> None:
        self._status = replace(self._status, error=error, error_at=time.time())
        for line in error.splitlines():
            self.setting.log.write("master", f"error: reload refused, nothing has changed: {line}", ERROR)

    def _write(self) -> None:
        try:
            self.setting.runtime.status.write(self._status)
        except OSError as problem:
            self.setting.log.warning("master", f"{self.setting.runtime.status.path}: {problem.strerror}")

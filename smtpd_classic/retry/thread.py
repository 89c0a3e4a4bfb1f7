"""The retry thread: it claims due messages, passes them to a bounded number of delivery threads, and wakes for new
mail.
"""

import os
import random
import select
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime

from smtpd_classic.client.attempt import AttemptPlanner
from smtpd_classic.client.local import MaildirTransport
from smtpd_classic.client.network import Network
from smtpd_classic.client.routes import Routes
from smtpd_classic.client.signing import MessageSigner
from smtpd_classic.keys.ring import KeyRing
from smtpd_classic.keys.store import KeyStore, dkim_folder
from smtpd_classic.log import printable
from smtpd_classic.postmaster import PostmasterMail
from smtpd_classic.retry.approvals import ApprovalNotices
from smtpd_classic.retry.context import DeliveryContext
from smtpd_classic.retry.delivery_threads import DeliveryThreads
from smtpd_classic.retry.held import HeldMessages
from smtpd_classic.retry.housekeeping import Housekeeping
from smtpd_classic.retry.journal import DeliveryLog
from smtpd_classic.retry.limits import ThreadShares
from smtpd_classic.retry.neighbours import NeighbourNotices
from smtpd_classic.retry.network import RetryServices, longest_back_off_s, most_sessions, network_for
from smtpd_classic.retry.notices import Notices
from smtpd_classic.retry.scheduler import Scheduler
from smtpd_classic.runtime import Wakes
from smtpd_classic.runtime.hosts import HOSTS_FILE
from smtpd_classic.schedule import Schedule
from spool import SpoolBroken

__all__ = ["RetryThread"]

_MAILBOX_THREADS = 8
_STEP = 20


class RetryThread:
    """The retry thread of a process. Call `start()`, and `stop()` once. Tests pass a `network` and a `chance` of their
    own.
    """

    def __init__(
        self, services: RetryServices, *, network: Network | None = None, chance: Callable[[], float] = random.random
    ) -> None:
        config = services.config
        self._services = services
        self._journal = DeliveryLog(services.log, services.runtime.counters, services.clock)
        mail = PostmasterMail(config, services.spool, services.accounts, services.clock, self._wake_own)
        notices = Notices(config, mail, services.clock, self._journal)
        self._network = replace(
            network or network_for(services),
            login_refused=notices.login_refused,
            login_accepted=notices.login_accepted,
        )
        routes = Routes(
            config,
            self._network,
            MaildirTransport(services.accounts, services.mail_store),
            services.accounts.is_local_domain,
            services.accounts.mailbox_place,
        )
        attempts = AttemptPlanner(
            config,
            routes,
            services.accounts,
            self._forward,
            lambda words: self._journal.warning("", words),
            MessageSigner(config, KeyRing(KeyStore(dkim_folder(config.path)), time.monotonic), services.clock),
        )
        names = [each.name for each in config.milters]
        self._neighbours = NeighbourNotices(
            services.runtime.milters, names, notices.milter_down, self._complain, services.clock
        )
        self._make_threads(notices, mail, attempts, chance)
        self.wakeups = 0  # rounds of the scheduler's loop
        self._event = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._wakes: Wakes | None = None
        self._own_wakes: list[str] = []
        self._found: list[dict[str, float]] = []
        self._scanner: threading.Thread | None = None
        self._scan_lock = threading.Lock()
        self._scanning = self._scans_wanted = False
        self._stopping = threading.Event()
        self._runner = threading.Thread(target=self._run, name="retry", daemon=True)

    def _make_threads(
        self, notices: Notices, mail: PostmasterMail, attempts: AttemptPlanner, chance: Callable[[], float]
    ) -> None:
        """Make the delivery threads and the scheduler that gives them work."""
        services, config, remote = self._services, self._services.config, self._services.config.remote
        self._context = DeliveryContext(
            Schedule.of(config.basic, remote), notices, self._journal, services.clock, chance
        )
        approvals = ApprovalNotices(config, mail, self._journal)
        is_local = services.accounts.is_local_domain
        self._held = HeldMessages(config, services.spool, self._context, services.counters, approvals, is_local)
        slots = self._network.slots
        most = most_sessions(slots.limit)
        self._remote = DeliveryThreads(
            self._context,
            self._finished,
            "delivery",
            most,
            rest_s=longest_back_off_s(config),
            crowded=lambda: slots.crowded,
            allowed=self._network.connections.room,
        )
        self._local = DeliveryThreads(self._context, self._finished, "mailbox", _MAILBOX_THREADS)
        self._scheduler = Scheduler(
            services.spool,
            self._context,
            attempts,
            self._remote.works,
            self._local.works,
            remote.max_connections_per_host,
            ThreadShares.of(most),
            most,
            time.monotonic,
            self._held,
        )

    @property
    def transactions(self) -> int:
        """Return the number of transactions with other servers at this moment."""
        return self._network.slots.running

    def start(self) -> None:
        """Listen for wakes, and start the thread."""
        self._wakes = self._open_wakes()
        self._runner.start()

    def detach(self, timeout_s: float) -> None:
        """Begin no more attempts, and wait up to `timeout_s` until this is certain.

        Pass the messages without an attempt on to the retry thread of the new configuration, which is woken for them.
        """
        self._stopping.set()
        self._signal()
        self._runner.join(timeout_s)
        self._wake_another(self._local.give_back() + self._remote.give_back())

    def _wake_another(self, queue_ids: Iterable[str]) -> None:
        """Wake another retry thread for these messages and for those that wait for their first look."""
        for queue_id in (*self._scheduler.fresh, *self._own_wakes, *queue_ids):
            self._services.runtime.wake(queue_id)
        self._scheduler.fresh.clear()
        self._own_wakes.clear()

    def stop(self, timeout_s: float) -> bool:
        """Begin no more work, and wait for the running work. Return True if all of it has ended.

        Unfinished messages are in the queue, and another retry thread is woken for them.
        """
        end = time.monotonic() + timeout_s
        self._stopping.set()
        self._signal()
        self._network.connections.close()  # before the next process opens its own
        self.detach(timeout_s)
        left = [
            queue_id
            for deliverers in (self._local, self._remote)
            for queue_id in deliverers.stop(max(end - time.monotonic(), 0.0))
        ]
        self._wake_another(left)
        if self._scanner is not None:
            self._scanner.join(max(end - time.monotonic(), 0.0))
        ended = not any(thread.is_alive() for thread in (self._runner, self._scanner or self._runner))
        ended = ended and not self._remote.busy and not self._local.busy
        if ended:  # else a thread could write to another file that has this number by then
            os.close(self._event)
        return ended

    # The retry thread itself ---------------------------------------------------------------------------------------

    def _run(self) -> None:
        poll = select.poll()
        poll.register(self._event, select.POLLIN)
        if self._wakes is not None:
            poll.register(self._wakes.fileno(), select.POLLIN)
        chores = Housekeeping(self._services.clock, time.monotonic)
        self._scan()
        while not self._stopping.is_set():
            self.wakeups += 1
            try:
                more = self._scheduler.step(_STEP)
                self._do(chores)
                wait_s = 0.0 if more else min(self._scheduler.next_look(self._services.clock()), chores.wait_s())
                self._listen({fd for fd, _ in poll.poll(wait_s * 1000)})
            except Exception as problem:  # one bad entry must not stop all the others
                self._journal.warning("", f"the retry thread stumbled: {type(problem).__name__}: {problem}")
                self._stopping.wait(1.0)
        if self._wakes is not None:
            self._wakes.close()

    def _open_wakes(self) -> Wakes | None:
        try:
            return self._services.runtime.wakes()
        except OSError as problem:
            self._journal.warning("", f"nobody can wake the retry thread, which scans the queue instead: {problem}")
            return None

    def _listen(self, ready: set[int]) -> None:
        if self._event in ready:
            with suppress(BlockingIOError):
                os.eventfd_read(self._event)
        if self._wakes is not None and self._wakes.fileno() in ready:
            for queue_id in self._wakes.read():
                if queue_id:
                    self._scheduler.wake(queue_id)
                else:
                    self._scan()
        while self._own_wakes:
            self._scheduler.wake(self._own_wakes.pop(0))
        while self._found:
            self._scheduler.fill(self._found.pop(0))

    def _do(self, chores: "Housekeeping") -> None:
        if not chores.due():
            return
        self._network.connections.close_idle()
        path = os.path.join(self._services.runtime.folder, HOSTS_FILE)
        self._network.health.save(path, self._network.connections.allowed)
        self._scheduler.tidy()
        self._neighbours.look()
        if chores.clock_set_back():
            self._scheduler.waiting.no_later_than(self._services.clock() + self._context.schedule.longest_s)
        if chores.scan_due():
            self._scan()

    def _scan(self) -> None:
        """Read the whole spool in a thread of its own.

        A scan that is under way may have passed the place of a message that came since, so it is followed by another.
        """
        with self._scan_lock:
            self._scans_wanted = True
            if self._scanning:
                return
            self._scanning = True
        self._scanner = threading.Thread(target=self._scan_until_done, name="scan", daemon=True)
        self._scanner.start()

    def _scan_until_done(self) -> None:
        while True:
            with self._scan_lock:
                self._scanning = self._scans_wanted and not self._stopping.is_set()
                self._scans_wanted = False
                if not self._scanning:
                    return
            self._scan_now()

    def _scan_now(self) -> None:
        try:
            self._found.append(self._services.spool.schedule())
            self._held.look()
        except SpoolBroken as problem:
            self._journal.warning("", f"the queue cannot be read: {problem}")
        except Exception as problem:  # the next scan must not wait for a thread that is gone
            self._journal.warning("", f"the scan of the queue broke off: {type(problem).__name__}: {problem}")
        finally:
            self._signal()

    def _finished(self, queue_id: str, when: float | None, unwritten: frozenset[str]) -> None:
        if self._scheduler.finished(queue_id, when, unwritten):
            self._signal()

    def _wake_own(self, queue_id: str) -> None:
        self._own_wakes.append(queue_id)
        self._signal()

    def _signal(self) -> None:
        with suppress(BlockingIOError):
            os.eventfd_write(self._event, 1)

    def _complain(self, sentence: str) -> None:
        self._journal.warning("", sentence)

    def _forward(self, sender: str) -> str:
        """Return the SRS sender for mail that is forwarded; the sender itself if the secret cannot be read."""
        try:
            srs = self._services.srs()
            return srs.forward(sender, datetime.fromtimestamp(self._services.clock(), UTC).date())
        except OSError as problem:
            self._journal.warning(
                "", f"the sender {printable(sender, 256)} of forwarded mail is not rewritten: {problem}"
            )
            return sender

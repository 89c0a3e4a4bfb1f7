"""The threads that one process of a server has: they deliver the queue, and look after what needs it now and then."""

from smtpd_classic.daemon.certificates import CertificateWatch
from smtpd_classic.daemon.keys import key_watch
from smtpd_classic.daemon.lifecycle import DETACH_S, PICKUP_S
from smtpd_classic.daemon.mail_expiry import mail_expiry
from smtpd_classic.daemon.metrics import metrics_for
from smtpd_classic.retry import RetryThread
from smtpd_classic.retry.shared_decisions import SharedDecisions, decides_by_mail
from smtpd_classic.runtime.shared_blocks import SharedBlocks
from smtpd_classic.services import Services
from smtpd_classic.shared_state.exchange import ExchangeThread
from smtpd_classic.submission.pickup import Pickup

__all__ = ["Sending"]

_BLOCKS_EVERY_S, _DECISIONS_EVERY_S = 0.25, 1.0


class Sending:
    """The delivery of the queue, and threads for maildrop/, keys, the certificate, old mail, metrics, shared state."""

    def __init__(self, services: Services, retry: RetryThread | None = None) -> None:
        self._runtime = services.runtime
        self._retry = RetryThread(services) if retry is None else retry
        self._pickup = Pickup(services)
        self._keys = key_watch(services)
        self._certificates = CertificateWatch(services)
        self._expiry = mail_expiry(services)
        self._metrics = metrics_for(services, lambda: self._retry.transactions)
        self._exchanges = _exchanges(services)

    def start(self) -> None:
        self._keys.start()
        self._certificates.start()
        self._expiry.start()
        self._retry.start()
        self._pickup.start()
        if self._metrics is not None:
            self._metrics.start()
        for each in self._exchanges:
            each.start()

    def detach(self) -> None:
        """Begin nothing new: from now on the successor takes all mail, by the new configuration."""
        self._pickup.stop(0.0)
        self._retry.detach(DETACH_S)

    def stop(self, timeout_s: float) -> None:
        """End the threads; deliveries get `timeout_s`. Wake the successor, which could not claim the messages of
        attempts that ran until now, and does not know their next time.
        """
        if self._metrics is not None:
            self._metrics.stop()
        for each in self._exchanges:
            each.stop()
        self._expiry.stop()
        self._certificates.stop()
        self._keys.stop(0.0)
        self._pickup.stop(PICKUP_S)
        self._retry.stop(timeout_s)
        self._runtime.wake()


def _exchanges(services: Services) -> list[ExchangeThread]:
    """Return the threads that exchange facts with the shared state; none without one."""
    shared = services.shared
    if shared is None:
        return []

    def warn(sentence: str) -> None:
        services.log.warning("qmgr", sentence)

    blocks = SharedBlocks(services.runtime.blocks, shared)
    found = [ExchangeThread("blocks of other servers", blocks.once, _BLOCKS_EVERY_S, warn)]
    if decides_by_mail(services.config):
        decisions = SharedDecisions(services, shared)
        found.append(ExchangeThread("decisions of other servers", decisions.once, _DECISIONS_EVERY_S, warn))
    return found

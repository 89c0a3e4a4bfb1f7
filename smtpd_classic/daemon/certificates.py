"""The self-made certificate: made where there is none, and renewed before its end."""

import os
import threading
from typing import Any

from smtpd_classic.config import Config
from smtpd_classic.daemon.privileges import give
from smtpd_classic.server import self_signed
from smtpd_classic.server.listening import listeners_of
from smtpd_classic.server.tls import CertificateProblem
from smtpd_classic.services import Services

__all__ = ["CertificateWatch", "provide_certificate", "wants_tls"]

_LOOPBACK = {"127.0.0.1", "::1"}
_FIRST_S, _HOUR_S = 5.0, 3600.0


class CertificateWatch:
    """The thread that renews the self-made certificate. `step()` looks once, also in tests."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._complaint = ""
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="certificate", daemon=True)

    def start(self) -> None:
        """Watch from now on."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stopping.set()

    def _run(self) -> None:
        wait_s = _FIRST_S
        while not self._stopping.wait(wait_s):
            self.step()
            wait_s = _HOUR_S

    def step(self) -> None:
        """Renew the certificate if it is due. The receiving processes read it again by themselves."""
        config, log = self._services.config, self._services.log
        if not wants_tls(config):
            return
        server = config.server
        try:
            if self_signed.renew_self_signed(server.certificate, server.private_key, self._services.clock()):
                log.write("master", f"the self-signed certificate in {server.certificate} has been renewed")
        except CertificateProblem as problem:
            if str(problem) != self._complaint:
                self._complaint = str(problem)
                log.warning("master", self._complaint)


def wants_tls(config: Config) -> bool:
    """Return True if a listener has TLS."""
    return config.basic.allow_tls and any(each.tls != "none" for each in listeners_of(config))


def provide_certificate(config: Config, user: Any, now: float) -> None:
    """Make a self-signed pair where TLS is wanted and there is none; renew one of ours in its last days.

    Raises CertificateProblem when no pair can be made.
    """
    certificate, key = config.server.certificate, config.server.private_key
    if not wants_tls(config):
        return
    if os.path.lexists(certificate) or os.path.lexists(key):
        _renew(certificate, key, now)
        return
    names = dict.fromkeys((config.helo_name, config.server.primary_domain, *(each.name for each in config.domains)))
    addresses = {address for listener in config.listeners for address in listener.address}
    local = ("localhost", *sorted(_LOOPBACK)) if addresses <= _LOOPBACK else ()
    new_folder = not os.path.isdir(os.path.dirname(certificate))
    self_signed.make_self_signed(certificate, key, (*names, *local))
    try:
        # A folder made for the pair is the service user's, so that it can renew the certificate without root.
        for path in (os.path.dirname(certificate), certificate, key) if new_folder else (certificate, key):
            give(path, user)
    except OSError as problem:
        raise CertificateProblem(f"{key} cannot be given to the service user: {problem.strerror}.") from None


def _renew(certificate: str, key: str, now: float) -> None:
    """Renew the certificate if it is due. A failure is left to the watch, which writes it to the log."""
    try:
        self_signed.renew_self_signed(certificate, key, now)
    except CertificateProblem:
        return

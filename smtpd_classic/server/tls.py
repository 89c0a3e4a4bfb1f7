"""The server's TLS contexts: made of certificate and key, and made again when these files change.

A new pair that cannot be used leaves the old one in force and writes one line to the log, so that mail goes on.
"""

import os
import ssl
import stat
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress

from smtpd_classic.server.certificate import expiry
from smtpd_classic.server.suites import DEFAULT_SUITES, apply_suites

__all__ = ["Certificate", "CertificateProblem", "days_left", "problem_with"]


class CertificateProblem(Exception):
    """Raised when a certificate or key cannot be used or made; the text is a sentence that gives the reason."""


class Certificate:
    """The TLS contexts for new connections, one for each name in `suites` (see the module suites).

    Raises CertificateProblem when the pair cannot be used from the start.
    """

    def __init__(
        self,
        certificate: str,
        private_key: str,
        complain: Callable[[str], None],
        suites: Iterable[str] = (DEFAULT_SUITES,),
    ) -> None:
        self._files = (certificate, private_key)
        self._complain = complain
        self._lock = threading.Lock()
        self._looked = time.monotonic()
        self._stamps = self._stamp()
        self._suites = frozenset(suites)
        self._contexts = self._made()

    def context(self, suites: str = DEFAULT_SUITES) -> ssl.SSLContext:
        """Return the context to shake hands with. The files are examined once a second at most."""
        if time.monotonic() - self._looked >= 1.0 and self._lock.acquire(blocking=False):
            try:
                self._look()
            finally:
                self._lock.release()
        return self._contexts[suites]

    def _made(self) -> dict[str, ssl.SSLContext]:
        return {suites: _context(*self._files, suites) for suites in self._suites}

    def _look(self) -> None:
        self._looked = time.monotonic()
        stamps = self._stamp()
        if stamps == self._stamps:
            return
        self._stamps = stamps
        try:
            self._contexts = self._made()
        except CertificateProblem as problem:
            # Between the two renames of a renewal too; the second rename causes another try.
            self._complain(f"{problem} The certificate read before stays in use.")

    def _stamp(self) -> tuple[tuple[int, int, int], ...]:
        stamps = []
        for path in self._files:
            try:
                found = os.stat(path)
            except OSError:
                stamps.append((0, 0, 0))
                continue
            stamps.append((found.st_mtime_ns, found.st_ino, found.st_size))
        return tuple(stamps)


def _context(certificate: str, private_key: str, suites: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
    apply_suites(context, suites)
    for path in (certificate, private_key):
        try:
            with open(path, "rb"):
                pass
        except OSError as problem:
            raise CertificateProblem(f"{path} cannot be read: {problem.strerror}.") from None
    try:
        context.load_cert_chain(certificate, private_key, password=_no_password)
    except ssl.SSLError as problem:
        raise CertificateProblem(_sentence(problem, certificate, private_key)) from None
    except ValueError:
        raise CertificateProblem(f"{private_key} is encrypted; write the key without a password.") from None
    return context


def _no_password() -> str:
    """Raise ValueError, so that OpenSSL does not ask for a password at the terminal."""
    raise ValueError("a password is needed")


def _sentence(problem: ssl.SSLError, certificate: str, private_key: str) -> str:
    if problem.reason == "KEY_VALUES_MISMATCH":
        return f"{private_key} is not the key of the certificate in {certificate}."
    if b"PRIVATE KEY-----" not in _content(private_key):
        return f"{private_key} holds no private key in PEM form."
    if b"-----BEGIN CERTIFICATE-----" not in _content(certificate):
        return f"{certificate} holds no certificate in PEM form."
    reason = (problem.reason or "no reason given").replace("_", " ").lower()
    return f"{certificate} and {private_key} cannot be used: {reason}."


def _content(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(1 << 20)
    except OSError:
        return b""


def problem_with(certificate: str, private_key: str) -> str:
    """Return the reason not to use the pair, in one sentence; blank when all is well."""
    try:
        _context(certificate, private_key, DEFAULT_SUITES)
        mode = stat.S_IMODE(os.stat(private_key).st_mode)
        left = days_left(certificate)
    except (CertificateProblem, OSError) as problem:
        return str(problem)
    if mode & 0o007:
        return f"{private_key} can be read by every user of this machine; set its mode to 0600."
    if left is not None and left < 0:
        return f"The certificate in {certificate} expired {-left} days ago."
    return ""


def days_left(certificate: str) -> int | None:
    """Return the whole days until the certificate expires, negative after it; None when it cannot be read."""
    with suppress(OSError, ValueError):
        return int((expiry(_content(certificate).decode("latin-1")) - time.time()) // 86400)
    return None

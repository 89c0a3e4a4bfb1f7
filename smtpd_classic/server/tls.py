"""The server's certificate: contexts from its files, read again when they change, and a self-signed pair to begin with.

A new pair that cannot be used leaves the old one in force and one line in the log: mail goes on.
"""

import os
import shutil
import socket
import ssl
import stat
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from smtpd_classic.server.certificate import expiry

__all__ = ["Certificate", "CertificateProblem", "days_left", "make_self_signed", "problem_with"]

_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
_DAYS = 3650


class CertificateProblem(Exception):
    """Why a certificate or key cannot be used or made; the text is a sentence."""


class Certificate:
    """The context for new connections. Raises CertificateProblem when the pair cannot be used from the start."""

    def __init__(self, certificate: str, private_key: str, complain: Callable[[str], None]) -> None:
        self._files = (certificate, private_key)
        self._complain = complain
        self._lock = threading.Lock()
        self._looked = time.monotonic()
        self._stamps = self._stamp()
        self._context = _context(*self._files)

    def context(self) -> ssl.SSLContext:
        """The context to shake hands with; the files are looked at once a second at most."""
        if time.monotonic() - self._looked >= 1.0 and self._lock.acquire(blocking=False):
            try:
                self._look()
            finally:
                self._lock.release()
        return self._context

    def _look(self) -> None:
        self._looked = time.monotonic()
        stamps = self._stamp()
        if stamps == self._stamps:
            return
        self._stamps = stamps
        try:
            self._context = _context(*self._files)
        except CertificateProblem as problem:
            # Also between the two renames of a renewal; the second one makes us look again.
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


def _context(certificate: str, private_key: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
    context.set_ciphers(_CIPHERS)
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
    """Instead of the question at the terminal that OpenSSL would ask."""
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
    """Why the pair cannot be used or should not, in one sentence; blank when all is well."""
    try:
        _context(certificate, private_key)
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
    """Whole days until the certificate expires (negative: since it did); None when it cannot be read."""
    with suppress(OSError, ValueError):
        return int((expiry(_content(certificate).decode("latin-1")) - time.time()) // 86400)
    return None


def make_self_signed(certificate: str, private_key: str, names: tuple[str, ...]) -> None:
    """Make a key and a certificate for `names` that signs itself. Raises CertificateProblem.

    Clients cannot verify it, but nobody who only listens can read along, and other servers do not ask for more.
    """
    program = shutil.which("openssl", path=os.environ.get("PATH", "") + ":/usr/bin:/usr/local/bin")
    if program is None:
        raise CertificateProblem(
            f"There is no certificate in {certificate}, and no openssl command to make one: install openssl, "
            "or put a certificate and its key there."
        )
    try:
        for path in (certificate, private_key):
            os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=os.path.dirname(private_key), prefix=".new-") as folder:
            made = (os.path.join(folder, "certificate"), os.path.join(folder, "key"))
            _run_openssl(program, made, names)
            os.chmod(made[1], 0o600)
            os.chmod(made[0], 0o644)
            shutil.move(made[1], private_key)
            shutil.move(made[0], certificate)
    except OSError as problem:
        raise CertificateProblem(f"A self-signed certificate cannot be made: {problem}.") from None


def _run_openssl(program: str, files: tuple[str, str], names: tuple[str, ...]) -> None:
    alternatives = ",".join(f"{'IP' if _is_ip(name) else 'DNS'}:{name}" for name in names)
    command = [
        *(program, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
        *("-sha256", "-days", str(_DAYS), "-subj", f"/CN={names[0][:64]}", "-addext", f"subjectAltName={alternatives}"),
        *("-addext", "extendedKeyUsage=serverAuth", "-out", files[0], "-keyout", files[1]),
    ]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False)
    except subprocess.TimeoutExpired:
        raise CertificateProblem("openssl took more than a minute to make a certificate.") from None
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise CertificateProblem(f"openssl could not make a certificate: {said[-1] if said else 'no reason given'}")


def _is_ip(name: str) -> bool:
    for family in (socket.AF_INET, socket.AF_INET6):
        with suppress(OSError):
            socket.inet_pton(family, name)
            return True
    return False

"""From the configuration file to a process that may serve: everything that needs root, then root given up for good.

An obstacle ends the start with one sentence; half a server is never started.
"""

import os
import resource
import stat
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from filelock import lock_descriptor

from smtpd_classic.config import Config, ConfigProblems, load
from smtpd_classic.config.made_secret import made_secret
from smtpd_classic.config.schema import SECTIONS
from smtpd_classic.config.secret_file import SecretUnreadable, read_secret
from smtpd_classic.daemon.certificates import provide_certificate, wants_tls
from smtpd_classic.daemon.privileges import PrivilegeProblem, drop, give, make_folder, service_user
from smtpd_classic.log import Log
from smtpd_classic.mailstore.store import MailStore, MailStoreBroken
from smtpd_classic.runtime import Runtime
from smtpd_classic.server import local_listener, tls
from smtpd_classic.server.listening import CannotListen, Sockets
from smtpd_classic.sharing import shared_secret_paths, shared_state_problems
from smtpd_classic.submission import maildrop
from spool import Spool, SpoolBroken

__all__ = ["CannotStart", "Started", "reloaded", "start"]

_COLUMNS_PER_WORKER = 4  # those of the last reload may still be finishing
_SPARE_DESCRIPTORS = 200


class CannotStart(Exception):
    """Why there is no server; `status` is one of sysexits(3)."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


@dataclass(frozen=True, slots=True)
class Started:
    """The parts of a started server.

    `lock` is the descriptor of the pid file, locked as long as the server lives; `spool_lock` that of the spool, locked
    as long as any of its processes lives.
    """

    config: Config
    sockets: Sockets
    log: Log
    runtime: Runtime
    lock: int
    spool_lock: int
    warnings: tuple[str, ...] = ()


def start(path: str) -> Started:
    """Start a server up to the point where its processes begin. Raises CannotStart."""
    config = _loaded(path)
    try:
        user = service_user(config.server.user)
        warnings = _raise_descriptors(config)
        sockets = _open_sockets(config)
        for folder, mode in _folders(config):
            make_folder(folder, user, mode)
        provide_certificate(config, user, time.time())
        _provide_log(config, user)
        warnings += _provide_shared_secrets(config, user)
        drop(user)
        _check_readable(config)
    except PrivilegeProblem as problem:
        raise CannotStart(os.EX_NOPERM, str(problem)) from None
    except tls.CertificateProblem as problem:
        raise CannotStart(os.EX_CONFIG, str(problem)) from None
    runtime = Runtime(config.server.run_folder, config.access)
    lock = _lock(config)
    try:
        runtime.make(_COLUMNS_PER_WORKER * (workers(config) + 1) + 1)
        spool_lock = _prepare_spool(config)
        MailStore(config.server.mail_folder, config.helo_name).make()
        maildrop.make(config.server.spool_folder)
        sockets = replace(sockets, local=local_listener.bind(runtime.submission_socket))
        if any(listener.socket for listener in config.listeners):
            sockets = Sockets.open(config, sockets)
    except CannotListen as problem:
        raise CannotStart(os.EX_UNAVAILABLE, str(problem)) from None
    except OSError as problem:
        where = problem.filename or runtime.folder
        raise CannotStart(os.EX_CANTCREAT, f"{where} cannot be written: {problem.strerror}.") from None
    except (SpoolBroken, MailStoreBroken) as problem:
        raise CannotStart(os.EX_CANTCREAT, str(problem)) from None
    return Started(config, sockets, Log(config.server.log), runtime, lock, spool_lock, (*sockets.complaints, *warnings))


def reloaded(running: Config) -> tuple[Config, Config]:
    """Return the file as it is now, and its effective part.

    Raises ConfigProblems, CertificateProblem or CannotStart.
    """
    written = load(running.path)
    settled = _settled(running, written)
    provide_certificate(settled, None, time.time())
    if _shared(settled) != _shared(running):
        _provide_shared_secrets(settled, None)
    _check_readable(settled)
    return written, settled


def workers(config: Config) -> int:
    return config.server.workers or len(os.sched_getaffinity(0))


def _loaded(path: str) -> Config:
    try:
        return load(path)
    except ConfigProblems as problems:
        raise CannotStart(os.EX_CONFIG, str(problems)) from None


def _open_sockets(config: Config) -> Sockets:
    try:
        return Sockets.open(config)
    except CannotListen as problem:
        status = Runtime(config.server.run_folder).status.running() if problem.in_use else None
        if status is not None:
            raise CannotStart(os.EX_UNAVAILABLE, f"smtpd-classic runs already, as process {status.pid}.") from None
        raise CannotStart(os.EX_UNAVAILABLE, str(problem)) from None


def _folders(config: Config) -> tuple[tuple[str, int], ...]:
    server = config.server
    # Every user may enter, because local submission needs the socket in one and maildrop/ in the other.
    return ((server.run_folder, 0o755), (server.spool_folder, 0o711), (server.mail_folder, 0o700))


def _provide_log(config: Config, user: Any) -> None:
    """Make the log file, so that the service user can write it. Raises CannotStart."""
    if not config.server.log.startswith("/"):
        return
    try:
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        fd = os.open(config.server.log, flags, 0o640)
        try:
            if user is not None and _is_another_file(fd):
                said = f"The log {config.server.log} is a file of root with other lines in it; name another file."
                raise CannotStart(os.EX_CANTCREAT, said)
        finally:
            os.close(fd)
        give(config.server.log, user)
    except OSError as problem:
        raise CannotStart(
            os.EX_CANTCREAT, f"The log {config.server.log} cannot be written: {problem.strerror}."
        ) from None


def _is_another_file(fd: int) -> bool:
    """Return True for a file of root, such as the system's log, that does not begin with a line of the server."""
    found = os.fstat(fd)
    if found.st_uid != 0 or not stat.S_ISREG(found.st_mode) or not found.st_size:
        return False
    return b" smtpd-classic/" not in os.pread(fd, 4096, 0).partition(b"\n")[0]


def _check_readable(config: Config) -> None:
    """Check, as the service user, that the files for a reload can be read."""
    if wants_tls(config):
        tls.Certificate(config.server.certificate, config.server.private_key, lambda text: None)
    if config.server.shared_state and config.server.shared_state_password_file:
        try:
            read_secret(config.server.shared_state_password_file)
        except SecretUnreadable as problem:
            raise CannotStart(os.EX_CONFIG, f"shared_state_password_file: {problem}.") from None


def _shared(config: Config) -> tuple[str, str]:
    """Return the options that decide whether the shared state answers."""
    return config.server.shared_state, config.server.shared_state_password_file


def _provide_shared_secrets(config: Config, user: Any) -> tuple[str, ...]:
    """Compare the secrets with those of the other servers of the shared state; the first server makes them. Return
    warnings. Raises CannotStart.
    """
    problems = shared_state_problems(config, register=False)
    errors = [text for text, is_error in problems if is_error]
    if errors:
        raise CannotStart(os.EX_CONFIG, errors[0])
    missing = [path for path in shared_secret_paths(config) if not os.path.exists(path)]
    if missing and problems:
        said = f"{problems[0][0]} So it is not known whether other servers have {missing[0]} already; copy it, or wait."
        raise CannotStart(os.EX_TEMPFAIL, said)
    for path in shared_secret_paths(config):
        try:
            made_secret(path)
            give(path, user)  # a copy of another server's belongs to root
        except OSError as problem:
            way = f"openssl rand -hex 32 | install -m 640 -g {config.server.user} /dev/stdin {path}"
            said = f"{path} cannot be written: {problem.strerror}. Make it as root: {way}"
            raise CannotStart(os.EX_CANTCREAT, said) from None
    return tuple(text for text, _ in shared_state_problems(config, register=True))


def _settled(running: Config, written: Config) -> Config:
    """`written` with the values of `running` for the options that wait for a restart."""
    sections: dict[str, Any] = {}
    for section in SECTIONS:
        if section.is_table:
            continue
        before = getattr(running, section.attribute)
        kept = {option.attribute: getattr(before, option.attribute) for option in section.options() if option.restart}
        sections[section.attribute] = replace(getattr(written, section.attribute), **kept)
    return replace(written, **sections)


def _raise_descriptors(config: Config) -> tuple[str, ...]:
    """Raise the limit of open files as far as the system allows; return a warning if connections need more."""
    wanted = config.access.max_connections + _SPARE_DESCRIPTORS
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    limits = [(most, most)]
    if os.geteuid() == 0 and most != resource.RLIM_INFINITY and most < wanted:
        limits.insert(0, (wanted, wanted))
    for each in limits:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, each)
            break
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if allowed == resource.RLIM_INFINITY or allowed >= wanted:
        return ()
    enough = max(0, allowed - _SPARE_DESCRIPTORS)
    warning = (
        f"The system allows {allowed} open files, enough for {enough} connections and too few for "
        f"max_connections = {config.access.max_connections} in [access]; raise LimitNOFILE or “ulimit -n”."
    )
    return (warning,)


def _prepare_spool(config: Config) -> int:
    """Make the spool. Return the descriptor of its lock. Raises SpoolBroken and CannotStart."""
    spool = Spool(config.server.spool_folder)
    spool.make()
    lock = spool.lock()
    if lock is None:
        raise CannotStart(os.EX_TEMPFAIL, f"“queue adopt” is moving the messages of {spool.path}; start when it ends.")
    return lock


def _lock(config: Config) -> int:
    """Lock the pid file and write our process into it. Raises CannotStart when another server has it."""
    path = os.path.join(config.server.run_folder, "smtpd-classic.pid")
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        os.fchmod(fd, 0o644)
        if not lock_descriptor(fd, blocking=False):
            other = os.read(fd, 20).decode("ascii", "replace").strip()
            raise CannotStart(os.EX_UNAVAILABLE, f"smtpd-classic runs already, as process {other}.")
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
    except OSError as problem:
        raise CannotStart(os.EX_CANTCREAT, f"{path} cannot be written: {problem.strerror}.") from None
    return fd

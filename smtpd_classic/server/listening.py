"""The sockets that are listened on: bound before root is given up, kept over a reload, inherited by every child."""

import errno
import socket
from dataclasses import dataclass, field

from smtpd_classic.config.schema import Config, Listener
from smtpd_classic.runtime import Listening
from smtpd_classic.server import local_listener
from smtpd_classic.server.listener_server import BACKLOG

__all__ = ["CannotListen", "Sockets", "listeners_of"]

_PROBE_S = 1.0
_NO_SUCH_ADDRESS = {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}


class CannotListen(Exception):
    """Raised when a port cannot be opened; the text is a sentence. `in_use`: another process has it."""

    def __init__(self, text: str, *, in_use: bool = False) -> None:
        super().__init__(text)
        self.in_use = in_use


def listeners_of(config: Config) -> tuple[Listener, ...]:
    """Return the listeners to open: without TLS none with implicit TLS."""
    return tuple(each for each in config.listeners if config.basic.allow_tls or each.tls != "implicit")


@dataclass(frozen=True, slots=True)
class Sockets:
    """`bound` is what to accept on, and `local` the socket for local submission; `complaints` are sentences about
    addresses that could do without."""

    bound: tuple[tuple[Listener, socket.socket], ...]
    complaints: tuple[str, ...] = field(default=())
    local: socket.socket | None = None

    @classmethod
    def open(cls, config: Config, before: "Sockets | None" = None) -> "Sockets":
        """Return the sockets for `config`, with those of `before` that fit. Raises CannotListen.

        Ports are opened first, as root. Unix sockets are opened with `before`, by the service user and under the lock
        of the instance.
        """
        known = {} if before is None else {_key(found): found for _, found in before.bound}
        bound: list[tuple[Listener, socket.socket]] = []
        complaints: list[str] = []
        try:
            for listener in listeners_of(config):
                _open_listener(listener, known, bound, complaints, reload=before is not None)
                if listener.socket and before is not None:
                    bound.append((listener, known.get((listener.socket, 0)) or _bind_path(listener)))
        except CannotListen:
            for listener, found in bound:
                if _key(found) not in known:
                    _remove(listener, found)
            raise
        return cls(tuple(bound), tuple(complaints), None if before is None else before.local)

    def close(self, but: "Sockets | None" = None) -> None:
        """Close the sockets that `but` does not have."""
        kept = set() if but is None else {id(found) for found in but.every()}
        for found in self.every():
            if id(found) not in kept:
                found.close()

    def remove(self, but: "Sockets | None" = None) -> None:
        """Close the sockets that `but` does not have, and remove their Unix sockets from the disk."""
        kept = set() if but is None else {id(found) for found in but.every()}
        self.close(but)
        for listener, found in self.bound:
            if id(found) not in kept:
                _remove(listener, found)

    def every(self) -> tuple[socket.socket, ...]:
        bound = tuple(found for _, found in self.bound)
        return bound if self.local is None else (*bound, self.local)

    def described(self) -> tuple[Listening, ...]:
        return tuple(Listening(listener.name, *_key(found), listener.tls) for listener, found in self.bound)


def _key(found: socket.socket) -> tuple[str, int]:
    """Return the address and port, or the path and 0."""
    name = found.getsockname()
    return (name, 0) if isinstance(name, str) else (name[0], name[1])


def _remove(listener: Listener, found: socket.socket) -> None:
    found.close()
    if found.family == socket.AF_UNIX:
        local_listener.unbind(listener.socket)


def _bind_path(listener: Listener) -> socket.socket:
    """Return the Unix socket of a listener. Raises CannotListen."""
    place = f"Listener {listener.name} cannot listen on {listener.socket}"
    try:
        if _is_in_use(listener.socket):
            raise CannotListen(f"{place}: another program listens there already.", in_use=True)
        return local_listener.bind(listener.socket, 0o660)
    except OSError as problem:
        reason = (problem.strerror or str(problem)).lower()
        raise CannotListen(f"{place}: {reason}; the service user must be able to write its folder.") from None


def _is_in_use(path: str) -> bool:
    """Return True if a program listens on a Unix socket. Raises OSError if that cannot be found out."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(_PROBE_S)
        try:
            probe.connect(path)
        except (FileNotFoundError, ConnectionRefusedError):
            return False
    return True


def _open_listener(
    listener: Listener,
    known: dict[tuple[str, int], socket.socket],
    bound: list[tuple[Listener, socket.socket]],
    complaints: list[str],
    *,
    reload: bool,
) -> None:
    """Bind each address of a listener. One that this machine lacks is left out if another one exists."""
    missing: list[str] = []
    opened = 0
    for address in listener.address:
        try:
            found = known.get((address, listener.port)) or _bind(address, listener.port)
        except OSError as problem:
            sentence = _sentence(listener, address, problem)
            if problem.errno in _NO_SUCH_ADDRESS:
                missing.append(sentence)
            elif reload and problem.errno == errno.EACCES:
                complaints.append(sentence)  # told to be waiting for a restart; the rest of the reload goes on
                opened += 1
            elif problem.errno == errno.EADDRINUSE and (ours := _in_the_way(address, listener.port, known)):
                bound += [(listener, each) for each in ours if all(each is not other for _, other in bound)]
                said = f"listener {listener.name}: {address}:{listener.port} waits for a restart"
                complaints.append(f"{said}; until then it stays at {', '.join(_key(each)[0] for each in ours)}.")
                opened += 1
            else:
                raise CannotListen(sentence, in_use=problem.errno == errno.EADDRINUSE) from None
        else:
            bound.append((listener, found))
            opened += 1
    if missing and not opened:
        raise CannotListen(missing[0])
    complaints += missing


def _in_the_way(address: str, port: int, known: dict[tuple[str, int], socket.socket]) -> list[socket.socket]:
    """Our own sockets of this port that the system cannot have beside one for all addresses, or the other way round."""
    return [
        found
        for (other, taken), found in known.items()
        if taken == port and (":" in other) == (":" in address) and {address, other} & {"0.0.0.0", "::"}
    ]


def _bind(address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    found = socket.socket(family, socket.SOCK_STREAM)
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            # Else “::” would take the IPv4 port as well, and 0.0.0.0 beside it would be in use.
            found.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        found.bind((address, port))
        found.listen(BACKLOG)
        found.setblocking(False)
    except OSError:
        found.close()
        raise
    return found


def _sentence(listener: Listener, address: str, problem: OSError) -> str:
    place = f"[{address}]:{listener.port}" if ":" in address else f"{address}:{listener.port}"
    reason = {
        errno.EADDRINUSE: "another program listens there already",
        errno.EACCES: "ports under 1024 are opened by root only",
        errno.EADDRNOTAVAIL: "this machine does not have that address",
        errno.EAFNOSUPPORT: "this machine does not have IPv6" if ":" in address else "this machine does not have IPv4",
    }.get(problem.errno or 0, (problem.strerror or "it did not say why").lower())
    return f"Listener {listener.name} cannot listen on {place}: {reason}."

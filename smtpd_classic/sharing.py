"""The shared state of a configuration: for a process of the server, for a command, and for a check."""

import os
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from smtpd_classic.config.schema import Config
from smtpd_classic.config.secret_file import SecretUnreadable, read_secret
from smtpd_classic.counters import CounterStore, FileCounterStore
from smtpd_classic.counters.shared_store import SharedCounterStore
from smtpd_classic.runtime import Runtime
from smtpd_classic.shared_state import SharedState, SharedStateDown
from smtpd_classic.shared_state.connections import DEADLINE_S
from smtpd_classic.shared_state.host_names import HostNames
from smtpd_classic.shared_state.secrets import SECRETS, SecretMismatch, compare_secret

__all__ = [
    "NAME",
    "SharedVerifications",
    "counters_for",
    "shared_answers",
    "shared_secret_paths",
    "shared_state_for",
    "shared_state_problems",
    "unkeyed_shared_state",
]

_PATIENCE_S = 2.0
_VERIFIED = "verified"
NAME = "shared_state"  # in the states of the run folder


def unkeyed_shared_state(config: Config) -> SharedState:
    """Return the shared state of a configuration that has one, to ask for facts about it. Raises SecretUnreadable."""
    server = config.server
    password = read_secret(server.shared_state_password_file) if server.shared_state_password_file else ""
    names = HostNames(patience_s=_PATIENCE_S)
    return SharedState(server.shared_state, b"", password=password, names=names, deadline_s=_PATIENCE_S)


def shared_state_for(
    config: Config,
    runtime: Runtime,
    say: Callable[[str], None],
    *,
    in_command: bool = False,
    before: SharedState | None = None,
) -> SharedState | None:
    """Return the shared state; None if the configuration has none, or its secrets cannot be read, which `say` tells.

    A command waits longer for an answer, and for the name of its host, than a session of a client may. `before` is the
    shared state of this process until a reload: it goes on if the configuration has the same.
    """
    server = config.server
    if not server.shared_state:
        return None
    try:
        password = read_secret(server.shared_state_password_file) if server.shared_state_password_file else ""
        secret = read_secret(os.path.join(config.secret_folder, SECRETS[0])).encode()
    except SecretUnreadable as problem:
        say(f"the shared state is not used: {problem}")
        return None
    report = partial(runtime.shared_state.report, NAME)
    if before is not None and before.goes_on(server.shared_state, secret, password, report, say):
        return before
    return SharedState(
        server.shared_state,
        secret,
        password=password,
        report=report,
        say=say,
        names=HostNames(patience_s=_PATIENCE_S if in_command else 0.0),
        deadline_s=_PATIENCE_S if in_command else DEADLINE_S,
    )


class SharedVerifications:
    """The answers about recipients that all servers of a shared state use. A failure is as if there were none."""

    def __init__(self, shared: SharedState) -> None:
        self._shared = shared

    def find(self, name: str) -> tuple[str, float] | None:
        """Return an answer and its age in seconds."""
        with suppress(SharedStateDown):
            found = self._shared.text(_VERIFIED, name)
            return None if found is None else (found.text, found.age_s)
        return None

    def keep(self, name: str, answer: str, lifetime_s: float) -> None:
        with suppress(SharedStateDown):
            self._shared.keep(_VERIFIED, name, answer, lifetime_s)


def shared_answers(shared: SharedState | None) -> SharedVerifications | None:
    """Return the shared answers about recipients; None without a shared state."""
    return None if shared is None else SharedVerifications(shared)


def counters_for(
    folder: str, shared: SharedState | None, clock: Callable[[], float] = time.time, *, kind: str = "count"
) -> CounterStore:
    """Return the counters of this server in `folder`, or with a shared state those of all servers."""
    own = FileCounterStore(folder, clock)
    return own if shared is None else SharedCounterStore(shared, own, clock, kind=kind)


def shared_secret_paths(config: Config) -> list[str]:
    """Return the files that all servers of the shared state must have; none without a shared state."""
    return [os.path.join(config.secret_folder, name) for name in SECRETS] if config.server.shared_state else []


def shared_state_problems(config: Config, *, register: bool) -> list[tuple[str, bool]]:
    """Return sentences about the shared state, each with True for an error and False for a warning.

    The start of a server registers the fingerprints of its secrets.
    """
    if not config.server.shared_state:
        return []
    try:
        shared = unkeyed_shared_state(config)
    except SecretUnreadable as problem:
        return [(f"shared_state_password_file: {problem}.", True)]
    found: list[tuple[str, bool]] = []
    try:
        for path in shared_secret_paths(config):
            try:
                compare_secret(shared, path, register=register)
            except SecretMismatch as problem:
                found.append((str(problem), True))
            except OSError as problem:
                found.append((f"{problem.filename} cannot be read: {problem.strerror}.", False))
    except SharedStateDown as down:
        found.append((f"the shared state does not answer: {down}.", False))
    finally:
        shared.close()
    return found

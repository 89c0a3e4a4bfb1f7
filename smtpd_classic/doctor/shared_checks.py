"""The checks of the shared state of several servers. Nothing is asked if the configuration has none."""

import time
from collections.abc import Iterator

from smtpd_classic.config.secret_file import SecretUnreadable
from smtpd_classic.doctor.finding import CheckResult, Examination, good, unknown, wrong
from smtpd_classic.shared_state import SharedStateDown
from smtpd_classic.sharing import shared_state_problems, unkeyed_shared_state

__all__ = ["shared_secrets", "shared_state"]

_POLICY = "maxmemory-policy"


def shared_state(examination: Examination) -> Iterator[CheckResult]:
    """Check that the shared state answers in time, and that it never drops counters for lack of memory."""
    if not examination.config.server.shared_state:
        return
    try:
        shared = unkeyed_shared_state(examination.config)
    except SecretUnreadable as problem:
        yield wrong("shared state", str(problem), "Correct shared_state_password_file, or the rights of that file.")
        return
    try:
        shared.ask(lambda client: client.ping())
        began = time.monotonic()
        shared.ask(lambda client: client.ping())
        yield good("shared state", f"{shared.address} answers in {(time.monotonic() - began) * 1000:.1f} ms")
    except SharedStateDown as down:
        advice = "Start the Redis or Valkey server, or correct shared_state; until then each server counts by itself."
        yield wrong("shared state", str(down), advice)
        return
    try:
        policy = shared.ask(lambda client: client.info("memory"))["maxmemory_policy"]
    except (SharedStateDown, KeyError) as problem:
        yield unknown(f"{_POLICY} of the shared state", f"it cannot be read: {problem}")
    else:
        if policy == "noeviction":
            yield good(f"{_POLICY} of the shared state", "noeviction")
        else:
            found = f"it is {policy}: blocks and counts are lost when the memory is full"
            yield wrong(f"{_POLICY} of the shared state", found, f"Set “{_POLICY} noeviction” in its configuration.")
    finally:
        shared.close()


def shared_secrets(examination: Examination) -> Iterator[CheckResult]:
    """Check that this server has the secrets of the others."""
    if not examination.config.server.shared_state:
        return
    problems = shared_state_problems(examination.config, register=False)
    errors = [text for text, is_error in problems if is_error]
    if errors:
        yield wrong("shared secrets", errors[0], "Copy srs-secret and approval-secret from a server that has them.")
    elif problems:
        yield unknown("shared secrets", f"they cannot be compared: {problems[0][0]}")
    else:
        yield good("shared secrets", "the same as those of the other servers")

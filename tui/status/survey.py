"""A look at the server, in the background: queue by state, last errors, certificate."""

from contextlib import suppress

from smtpd_classic.log_source import LogSource, NoLog
from smtpd_classic.runtime.hosts import read_marks
from spool import Listed, Spool, SpoolBroken
from spool.rows import rows
from tui.log.window import parsed
from tui.queue.rows import states_of
from tui.status.findings import StatusFindings, WaitReason
from tui.status.reasons import wait_reasons
from tui.widgets.text import clean, count

__all__ = ["days_left", "look"]

_TROUBLES = 6
_DAY_S = 86400
_LOG_LINES = 400
_SAMPLE = 500


def look(spool_folder: str, log: LogSource | None, certificate: str, hosts: str, now: float) -> StatusFindings:
    try:
        listed = list(Spool(spool_folder).list())
    except SpoolBroken as problem:
        return StatusFindings(clean(str(problem), 200), _troubles(log), days_left(certificate, now))
    reasons = _reasons(spool_folder, listed, hosts, now)
    return StatusFindings(_queue(listed), _troubles(log), days_left(certificate, now), reasons, len(listed))


def _queue(listed: list[Listed]) -> str:
    if not listed:
        return "empty"
    states = ", ".join(f"{count(number)} {word}" for word, number in states_of(listed).items() if number)
    return f"{count(len(listed))}: {states}"


def _reasons(folder: str, listed: list[Listed], hosts: str, now: float) -> tuple[WaitReason, ...]:
    """Return the reasons why mail waits. Of a long queue, a sample gives the numbers."""
    waiting = [each for each in listed if each.attempted and not each.held]
    sample = waiting[:: max(1, -(-len(waiting) // _SAMPLE))]
    found = wait_reasons(rows(Spool(folder), sample), read_marks(hosts, now))
    factor = len(waiting) / max(1, len(sample))
    return tuple(each._replace(messages=round(each.messages * factor)) for each in found)


def _troubles(log: LogSource | None) -> tuple[str, ...]:
    """Return the last warnings and errors of the log, the latest first."""
    if log is None:
        return ()
    found: list[str] = []
    with suppress(OSError, NoLog):
        for line in reversed(log.last(_LOG_LINES, lambda _: True)):
            entry = parsed(line)
            if entry.part and entry.text.startswith(("warning", "error", "fatal", "panic")):
                found.append(f"{entry.clock} {entry.text}")
            if len(found) == _TROUBLES:
                break
    return tuple(found)


def days_left(certificate: str, now: float) -> int | None:
    """Return the whole days until the certificate expires, negative after that; None if it cannot be read."""
    from smtpd_classic.server.certificate import expiry  # noqa: PLC0415 - ssl takes long to load

    with suppress(OSError, ValueError), open(certificate, encoding="latin-1") as file:
        return int((expiry(file.read(1 << 20)) - now) // _DAY_S)
    return None

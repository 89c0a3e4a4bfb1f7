"""The part of the status screen that runs in the background: queue by state, last errors, certificate."""

from contextlib import suppress
from typing import NamedTuple

from smtpd_classic.server.certificate import expiry
from spool import Spool, SpoolBroken
from tui.log.blocks import earlier, end_of
from tui.log.window import parsed
from tui.queue.rows import states_of
from tui.widgets.text import clean, count

__all__ = ["StatusFindings", "days_left", "look"]

_TROUBLES = 6
_DAY_S = 86400
_LOG_LINES = 400


class StatusFindings(NamedTuple):
    """The results. `days` is None if no certificate can be read."""

    queue: str = "counting …"
    troubles: tuple[str, ...] = ()
    days: int | None = None


def look(spool_folder: str, log: str, certificate: str, now: float) -> StatusFindings:
    return StatusFindings(_queue(spool_folder), _troubles(log), days_left(certificate, now))


def _queue(folder: str) -> str:
    try:
        numbers = states_of(Spool(folder).list())
    except SpoolBroken as problem:
        return clean(str(problem), 200)
    total = sum(numbers.values())
    if not total:
        return "empty"
    states = ", ".join(f"{count(number)} {word}" for word, number in numbers.items() if number)
    return f"{count(total)}: {states}"


def _troubles(log: str) -> tuple[str, ...]:
    """Return the last warnings and errors of the log, the latest first."""
    if not log:
        return ()
    found: list[str] = []
    with suppress(OSError):
        for line in reversed(earlier(log, end_of(log), (), _LOG_LINES).lines):
            entry = parsed(line)
            if entry.part and entry.text.startswith(("warning", "error", "fatal", "panic")):
                found.append(f"{entry.clock} {entry.text}")
            if len(found) == _TROUBLES:
                break
    return tuple(found)


def days_left(certificate: str, now: float) -> int | None:
    """Return the whole days until the certificate expires, negative after that; None if it cannot be read."""
    with suppress(OSError, ValueError), open(certificate, encoding="latin-1") as file:
        return int((expiry(file.read(1 << 20)) - now) // _DAY_S)
    return None

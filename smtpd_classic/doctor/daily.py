"""Checks that ask servers of others: on demand, or once a day, with results that are kept between."""

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime

from smtpd_classic import atomic_file
from smtpd_classic.doctor.finding import CheckResult, CheckState, Examination

__all__ = ["once_a_day"]

_DAY_S = 86_400
_Check = Callable[[Examination], Iterator[CheckResult]]
_Kept = dict[str, object]


def once_a_day(check: _Check) -> _Check:
    """Return the check for a table: it asks at once on demand; otherwise its results hold for a day."""

    def daily(examination: Examination) -> Iterator[CheckResult]:
        if not examination.kept_in:
            yield from check(examination)
            return
        kept = _read(examination.kept_in)
        found = None if examination.on_demand else _results(kept.get(check.__name__), examination)
        if found is None:
            found = list(check(examination))
            kept[check.__name__] = {"asked": examination.clock(), "about": _about(examination), "results": found}
            with suppress(OSError):  # not kept: it is asked again
                atomic_file.replace(examination.kept_in, json.dumps(kept).encode("utf-8"))
        yield from found

    return daily


def _about(examination: Examination) -> list[str]:
    """Return the settings that the results depend on."""
    hosts = examination.config.server.probe_hosts
    return [str(examination.by_relay), *examination.public, *examination.lists, *hosts]


def _read(path: str) -> _Kept:
    try:
        with open(path, encoding="utf-8") as file:
            return dict(json.load(file))
    except (OSError, ValueError, TypeError):
        return {}


def _results(entry: object, examination: Examination) -> list[CheckResult] | None:
    """Return the kept results, each with its time; None if there are none, or they are of another day or setting."""
    if not isinstance(entry, dict):
        return None
    try:
        asked, about, results = float(entry["asked"]), entry["about"], entry["results"]
        if about != _about(examination) or not 0 <= examination.clock() - asked < _DAY_S:
            return None
        when = datetime.fromtimestamp(asked, UTC).strftime("%Y-%m-%d %H:%M UTC")
        return [CheckResult(CheckState(state), about, f"{found} ({when})", do) for state, about, found, do in results]
    except (KeyError, TypeError, ValueError):
        return None

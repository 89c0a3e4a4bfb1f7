"""The state of the server for Status and the menu, looked at in the background.

A look at a long queue costs much, so there is none while the files are as they were, and looks take a hundredth of the
time at most, and less while Status is not in view.
"""

import os
import time
from collections.abc import Callable, Iterator
from functools import partial

from smtpd_classic.config import Config
from smtpd_classic.log_source import FileLog, LogSource, NoLog, log_source
from smtpd_classic.runtime.hosts import HOSTS_FILE, HostMark
from tui.shell.context import AppContext
from tui.shell.remembered import Signature, is_settled, signature
from tui.status.findings import SOON_DAYS, StatusFindings
from tui.status.survey import look
from tui.status.troubled_filters import troubled_filters
from tui.widgets.text import count_short

__all__ = ["HealthWatch", "attention", "menu_marks"]

_LEAST_PAUSE_S = 5.0
_LONGEST_S = 600.0  # the days until a certificate expires change without a file
_FOLDERS = ("new", "cur", "state")
_FILTERS = {
    "Milter": ("Milters", "A milter is down."),
    "DNS list": ("SMTP Filter", "A DNS list is not used."),
}
_SHARE, _SHARE_BEHIND = 100, 400


class HealthWatch:
    """Looks at the queue, the certificate and the log; `looked` is called after each look."""

    def __init__(self, context: AppContext, looked: Callable[[], None]) -> None:
        self._context = context
        self._looked = looked
        self._looking = self._failing = False
        self._ended = self._took = 0.0
        self._seen: Signature = ()

    def look(self, *, in_view: bool, at_once: bool = False) -> None:
        """Look again if the pause since the last look is over. `in_view`: Status shows the findings."""
        pause = max(_LEAST_PAUSE_S, (_SHARE if in_view else _SHARE_BEHIND) * self._took) if self._ended else 0.0
        if self._looking or (not at_once and time.monotonic() < self._ended + pause):
            return
        context = self._context
        server = context.draft.base("server")[0]
        log = _log(server.text(server.section.option("log")))
        spool, certificate, run = context.spool_folder, context.server_file("certificate"), context.run_folder
        hosts = os.path.join(run, HOSTS_FILE)
        seen = signature((spool, *(os.path.join(spool, name) for name in _FOLDERS), _path(log), certificate, hosts))
        if seen == self._seen and not at_once and time.monotonic() < self._ended + _LONGEST_S:
            return
        self._seen, self._looking = seen if is_settled(seen) else (), True
        context.run(
            lambda: look(spool, log, certificate, hosts, context.clock()),
            partial(self._done, time.monotonic()),
            self._failed,
        )

    def _done(self, began: float, found: StatusFindings) -> None:
        self._looking = self._failing = False
        self._ended = time.monotonic()
        self._took = self._ended - began
        self._context.findings = found
        self._looked()

    def _failed(self, problem: Exception) -> None:
        self._looking, self._failing = False, True
        self._ended = time.monotonic()
        self._context.failure(problem, lambda: self._failing)


def _log(target: str) -> LogSource | None:
    try:
        return log_source(target)
    except NoLog:
        return None


def _path(log: LogSource | None) -> str:
    """Return the file of the log; blank for the journal; the other files alone show its changes."""
    return log.place if isinstance(log, FileLog) else ""


def menu_marks(context: AppContext) -> dict[str, str]:
    """Return the marks of the menu: the number of queued messages, and a ! beside a screen that needs a look."""
    marks = dict.fromkeys(attention(context), "!")
    waiting = context.findings.waiting
    return marks | ({"Queue": f"{count_short(waiting)}{'!' if 'Queue' in marks else ''}"} if waiting else {})


def attention(context: AppContext) -> dict[str, str]:
    """Return a sentence for each screen that needs a look, by its title."""
    found: dict[str, str] = {}
    status = context.daemon_status()
    if status is None and context.daemon_is_hidden():
        found["Status"] = "You may not read the state of the server."
    elif status is None or not status.alive:
        found["Status"] = "The server does not run."
    elif status.error:
        found["Status"] = "The last reload was refused."
    elif any(each.is_error for each in context.source.problems):
        found["Status"] = "The file has an error."
    days = context.findings.days
    if status is not None and status.alive and (status.not_listening or (days is not None and days < SOON_DAYS)):
        found["Listeners & TLS"] = "A port is not open." if status.not_listening else "The certificate expires soon."
    if status is not None and status.alive:
        kinds = {each.kind for each in troubled_filters(context.source.config, context.runtime, context.clock())}
        found |= {title: sentence for kind, (title, sentence) in _FILTERS.items() if kind in kinds}
    if context.findings.reasons:
        found["Queue"] = "Mail waits for a next hop that failed."
    marks = context.failing_hosts()
    return found | (dict(_failing(context.source.config, marks)) if context.source.config is not None else {})


def _failing(config: Config, marks: list[HostMark]) -> Iterator[tuple[str, str]]:
    """Yield the screens of hosts that fail."""
    names = {mark.host.rpartition(":")[0].strip("[]") or mark.host for mark in marks} | {mark.host for mark in marks}
    if any(host.name in names for host in config.remote.relay_hosts):
        yield "Remote Delivery", "The relay failed."
    if any(host.name in names for direct in config.direct_domains for host in direct.hosts):
        yield "Direct Delivery", "A host failed."

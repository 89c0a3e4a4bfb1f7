"""The top of the screen: its title, the state of the daemon, and warnings in words."""

from typing import Any

import urwid

from smtpd_classic.runtime import DaemonStatus
from tui.shell.context import AppContext
from tui.widgets.flow import Flow
from tui.widgets.steady import SteadyText
from tui.widgets.text import clean, span

__all__ = ["Header", "daemon_words"]


def daemon_words(status: DaemonStatus | None, now: float, *, hidden: bool = False) -> tuple[str, bool]:
    """Return words about the daemon, and whether it is well. `hidden`: this user may not read its state."""
    if hidden:
        return "state of the daemon unknown", False
    if status is None or not status.alive:
        return "daemon is down", False
    if status.state != "running":
        return f"daemon is {status.state}", True
    if status.error:
        return "the last reload was refused", False
    return f"running for {span(now - status.since)}", True


class Header(urwid.WidgetWrap[urwid.Pile]):
    def __init__(self) -> None:
        self._left = SteadyText("", wrap="clip")
        self._right = SteadyText("", align="right", wrap="clip")
        self._line = urwid.AttrMap(urwid.Columns([self._left, ("pack", self._right)], dividechars=1), "title")
        self._banners: list[tuple[str, str]] = []
        super().__init__(urwid.Pile([self._line]))

    def show(self, context: AppContext, title: str, status: DaemonStatus | None, *, marked: bool) -> None:
        host = _host(context)
        self._left.set_text(f" smtpd-classic › {title}{' *' if marked else ''}{f' · {host}' if host else ''}")
        words, well = daemon_words(status, context.clock(), hidden=status is None and context.daemon_is_hidden())
        right: list[Any] = [("title good" if well else "title bad", words), " "]
        if context.source.read_only:
            right = [("title bad", "read-only"), " · ", *right]
        self._right.set_text(right)
        found = _banners(context)
        if found == self._banners:
            return
        self._banners = found
        banners: list[Flow] = [urwid.AttrMap(urwid.Text(f" {text}"), look) for look, text in found]
        rows: list[Flow] = [self._line, *banners]
        self._w.contents = [(row, self._w.options("pack")) for row in rows]


def _host(context: AppContext) -> str:
    server, basic = context.draft.base("server")[0], context.draft.base("basic")[0]
    name = basic.values.get("helo_name") or server.values.get("primary_domain") or ""
    return clean(name, 40)


def _banners(context: AppContext) -> list[tuple[str, str]]:
    found = [("banner", f"OPEN RELAY: {clean(reason, 200)}") for reason in context.open_relay_reasons()[:1]]
    if context.source.problems and context.source.config is None and context.source.text:
        first = context.source.problems[0]
        found.append(("banner", f"The file cannot be used: line {first.line}: {clean(first.text, 200)}"))
    return found

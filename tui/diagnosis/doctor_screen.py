"""Doctor: the findings about the server, its DNS records and its ways out, each with advice and the place to act."""

from collections.abc import Callable
from functools import partial
from typing import Any

import urwid

from smtpd_classic.config import Config
from smtpd_classic.doctor import CHECKS, CheckResult, CheckState
from smtpd_classic.doctor.examination import examination_of, records_of, stored_keys
from smtpd_classic.keys.records import DnsRecord, zone_fragment
from tui.shell.context import AppContext, sentence
from tui.shell.help_pane import WithHelp
from tui.shell.screen import BaseScreen, Help
from tui.widgets.buttons import ButtonRow
from tui.widgets.dialog import Dialog
from tui.widgets.flow import Flow
from tui.widgets.table import Column, Table
from tui.widgets.text import clean, clock

__all__ = ["DoctorScreen", "place_of"]

_MARKS = {CheckState.GOOD: "✓", CheckState.WRONG: "✗", CheckState.UNKNOWN: "–"}
_LOOKS = {CheckState.GOOD: "row", CheckState.WRONG: "bad", CheckState.UNKNOWN: "warn"}
_ORDER = (CheckState.WRONG, CheckState.UNKNOWN, CheckState.GOOD)
_COLUMNS = (Column("", 1), Column("Subject", share=2), Column("Finding", share=3))
_PLACES = {
    "server": ("Status", ""),
    "certificate": ("Listeners & TLS", "certificate"),
    "port 25 out": ("Remote Delivery", "relay_hosts"),
    "resolver": ("Server", "name_servers"),
    "address of": ("Server", "public_addresses"),
    "reverse name": ("Basic Parameters", "helo_name"),
    "disk": ("Basic Parameters", "min_free_space"),
    "queue": ("Queue", ""),
    "log": ("Server", "log"),
    "block lists": ("Server", "public_addresses"),
    "MX": ("Signing & DNS", ""),
    "SPF": ("Signing & DNS", ""),
    "DKIM": ("Signing & DNS", ""),
    "DMARC": ("Signing & DNS", "dmarc_reports_to"),
    "retired key": ("Signing & DNS", ""),
}

_WANTED: dict[str, Callable[[DnsRecord, str], bool]] = {
    "MX": lambda record, domain: record.kind == "MX",
    "SPF": lambda record, domain: record.data.startswith("v=spf1") and record.name == domain,
    "DKIM": lambda record, domain: "._domainkey." in record.name,
    "DMARC": lambda record, domain: record.name.startswith("_dmarc."),
}


def place_of(finding: CheckResult) -> tuple[str, str]:
    """Return the screen and the option that a finding is about; Status if there is none."""
    return next((place for words, place in _PLACES.items() if finding.subject.startswith(words)), ("Status", ""))


class DoctorScreen(BaseScreen):
    contexts = ("doctor",)

    def __init__(self, context: AppContext) -> None:
        self._context = context
        self._findings: list[CheckResult] = []
        self._run = 0
        self._examining = False
        self._head = urwid.Text("")
        self._table = Table(_COLUMNS, lambda _: self._open(), "[Examine] asks DNS and looks at this server.")
        buttons = ButtonRow([(label, partial(self.do, label.lower())) for label in ("Examine", "Details", "Go there")])
        body: urwid.Frame[Any, Any, Any] = urwid.Frame(self._table, header=self._head)
        self._pane = WithHelp(body, buttons, self.help)
        self._show()

    @property
    def widget(self) -> urwid.AbstractWidget:
        return self._pane

    def help(self) -> Help | None:
        finding = self._finding()
        if finding is None:
            return (
                "Doctor",
                "Everything that keeps mail from landing, with advice. ✗ wrong, – could not be asked, ✓ good.",
            )
        return clean(finding.subject), clean(f"{finding.found}. {finding.advice}", 1000)

    def do(self, command: str) -> bool:
        if command in {"examine", "refresh"}:
            self._examine()
        elif command == "details":
            self._open()
        elif command == "go there":
            finding = self._finding()
            if finding is not None:
                self._context.shell.go(*place_of(finding))
        else:
            return False
        return True

    def _finding(self) -> CheckResult | None:
        at = self._table.position
        return self._findings[at] if 0 <= at < len(self._findings) else None

    # --- the examination

    def _examine(self) -> None:
        config = self._context.usable_config()
        if config is None:
            return
        self._run += 1
        self._examining = True
        self._findings = []
        self._show()
        done, failed = partial(self._done, self._run), partial(self._failed, self._run)
        self._context.run(partial(self._work, self._run, config), done, failed)

    def _work(self, run: int, config: Config) -> None:
        """Make the checks, and pass on the findings of each."""
        examined = examination_of(config, stored_keys(config))
        for check in CHECKS:
            found = list(check(examined))
            self._context.background.call(partial(self._found, run, found))

    def _found(self, run: int, found: list[CheckResult]) -> None:
        if run == self._run:
            self._findings = sorted([*self._findings, *found], key=lambda each: _ORDER.index(each.state))
            self._show()

    def _done(self, run: int, _: None) -> None:
        if run == self._run:
            self._examining = False
            self._show()

    def _failed(self, run: int, problem: Exception) -> None:
        self._done(run, None)
        self._context.shell.say(sentence(problem), "bad")

    def _show(self) -> None:
        rows = [[_MARKS[each.state], clean(each.subject, 200), clean(each.found, 400)] for each in self._findings]
        self._table.show(rows, [_LOOKS[each.state] for each in self._findings])
        numbers = [(sum(each.state is state for each in self._findings), state) for state in _ORDER]
        words = ", ".join(f"{number} {state}" for number, state in numbers)
        now = "examining …" if self._examining else f"as of {clock(self._context.clock())}"
        self._head.set_text(("head", f" {words}; {now}" if self._findings or self._examining else " Not examined yet."))
        self._pane.show_help()

    # --- one finding

    def _open(self) -> None:
        """Show a finding with its advice, and the DNS records that it asks for."""
        finding, config = self._finding(), self._context.source.config
        if finding is None or config is None:
            return
        shown = partial(self._show_finding, finding)
        self._context.run(lambda: _records(config, finding), shown, lambda _: shown([]))

    def _show_finding(self, finding: CheckResult, records: list[DnsRecord]) -> None:
        shell = self._context.shell
        text = zone_fragment(records) if records else ""

        def go() -> None:
            shell.close()
            shell.go(*place_of(finding))

        rows: list[Flow] = [
            urwid.Text((_LOOKS[finding.state], f"{_MARKS[finding.state]} {clean(finding.found, 1000)}"))
        ]
        if finding.advice:
            rows.append(urwid.Text(f"→ {clean(finding.advice, 1000)}"))
        rows += [urwid.Divider()] if text else []
        rows += [urwid.Text(clean(line, 2000), wrap="any") for line in text.splitlines()]
        buttons = [("Go there", go), ("Close", shell.close)]
        if text:
            buttons.insert(0, ("Copy the record", lambda: shell.copy(text)))
        shell.open(Dialog(clean(finding.subject, 60), rows, buttons, shell.close, width=78, focus_button=0))


def _records(config: Config, finding: CheckResult) -> list[DnsRecord]:
    """Return the records that a finding about DNS asks for. Raises KeysUnreadable."""
    kind, _, rest = finding.subject.partition(" of ")
    domain = rest.partition(" ")[0]
    kind = kind.partition(" ")[0]
    if finding.state is CheckState.GOOD or kind not in _WANTED:
        return []
    return [each for each in records_of(config, stored_keys(config), domain) if _WANTED[kind](each, domain)]

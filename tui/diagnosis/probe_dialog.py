"""The test of a relay, of direct hosts or of a listener. Each step appears when it is done; no message is sent."""

import time
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import urwid

from smtpd_classic.client.probe import (
    FAILED,
    NOT_DONE,
    OK,
    HostProbe,
    ProbeStep,
    direct_domain_for,
    probe_direct,
    probe_listener,
    probe_milter,
    probe_network,
    probe_relay,
)
from smtpd_classic.config import Config, ConfigProblems, parse
from smtpd_classic.config.editing import Edited
from smtpd_classic.config.kinds import Host
from smtpd_classic.config.schema import DirectDomain
from smtpd_classic.dns import DnsResolver
from tui.config.draft import Row
from tui.config.test_message_dialog import ask_trial
from tui.config.writing import write_into
from tui.shell.context import AppContext, sentence
from tui.widgets.buttons import button
from tui.widgets.dialog import Dialog, message
from tui.widgets.flow import Flow
from tui.widgets.text import clean

__all__ = [
    "Probe",
    "ProbeDialog",
    "direct_probe",
    "draft_config",
    "host_probe",
    "listener_probe",
    "milter_probe",
    "relay_probe",
    "test",
]

Told = Callable[[str, ProbeStep], None]
_MARKS = {OK: ("good", "✓"), FAILED: ("bad", "✗"), NOT_DONE: ("dim", "–")}
_WORDS = {
    "resolve": "{host} resolves to {text}",
    "connect": "{text} answers in {took} ms",
    "login": "login {text}",
    "certificate": "certificate {text}",
}


class Probe(NamedTuple):
    """One test. `places` gives the screen and the option that may be at fault in each step."""

    title: str
    run: Callable[[Config, Told], tuple[HostProbe, ...]]
    places: Callable[[str], tuple[str, str]]


def relay_probe() -> Probe:
    options = {"TLS": "relay_ssl", "certificate": "relay_accept_any_certificate", "login": "relay_password"}

    def run(config: Config, told: Told) -> tuple[HostProbe, ...]:
        return probe_relay(config, probe_network(config, DnsResolver(config.server.name_servers)), told)

    return Probe("Test of the relay", run, lambda step: ("Remote Delivery", options.get(step, "relay_hosts")))


def direct_probe(domain: str) -> Probe:
    def run(config: Config, told: Told) -> tuple[HostProbe, ...]:
        network = probe_network(config, DnsResolver(config.server.name_servers))
        chosen = direct_domain_for(config, domain) or DirectDomain(name=domain, hosts=())
        return probe_direct(config, chosen, network, told)

    return Probe(f"Test of {domain}", run, lambda _: ("Direct Delivery", ""))


def host_probe(host: str, port: int) -> Probe:
    def run(config: Config, told: Told) -> tuple[HostProbe, ...]:
        network = probe_network(config, DnsResolver(config.server.name_servers))
        return probe_direct(config, DirectDomain(name=host, hosts=(Host(host, port),)), network, told)

    return Probe(f"Test of {host}", run, lambda _: ("Hosts", ""))


def listener_probe(name: str) -> Probe:
    def run(config: Config, told: Told) -> tuple[HostProbe, ...]:
        listener = next(each for each in config.listeners if each.name == name)
        return probe_listener(config, listener, probe_network(config, DnsResolver(config.server.name_servers)), told)

    options = {"TLS": "certificate", "certificate": "certificate"}
    return Probe(f"Test of the listener {name}", run, lambda step: ("Listeners & TLS", options.get(step, "")))


def milter_probe(name: str) -> Probe:
    def run(config: Config, told: Told) -> tuple[HostProbe, ...]:
        return probe_milter(next(each for each in config.milters if each.name == name), told)

    return Probe(f"Test of the milter {name}", run, lambda _: ("Milters", ""))


def draft_config(context: AppContext) -> Config:
    """Return the configuration as edited on the screens, applied or not. Raises ConfigProblems or ValueError."""
    if not context.draft.changed():
        return parse(context.source.text, context.path)
    edited = Edited(context.path)
    write_into(context.draft, edited)
    return parse(edited.file_text, context.path)


def test(context: AppContext, attribute: str, row: Row | None) -> None:
    """Test the relay, or the row of a table of direct domains, milters or listeners."""
    shell = context.shell
    if attribute == "remote":
        hosts = context.draft.single("remote")
        if not hosts.text(hosts.section.option("relay_hosts")).strip():
            shell.go("Remote Delivery", "relay_hosts")
            shell.say("Enter the host of the relay first.", "warn")
            return
        ProbeDialog(context, relay_probe()).begin()
    elif row is None:
        shell.say("There is nothing to test yet.", "warn")
    elif attribute == "direct_domains":
        ProbeDialog(context, direct_probe(row.name)).begin()
    elif attribute == "milters":
        ProbeDialog(context, milter_probe(row.name)).begin()
    elif row.text(row.section.option("proxy_protocol")) == "yes":
        shell.say("This listener takes connections of a proxy alone; they cannot be tested from here.", "warn")
    else:
        ProbeDialog(context, listener_probe(row.name)).begin()


class ProbeDialog:
    """The dialog of one test. `done` is called with True when it is closed after a test without a fault."""

    def __init__(self, context: AppContext, probe: Probe, done: Callable[[bool], None] = lambda works: None) -> None:
        self._context = context
        self._probe = probe
        self._done = done
        self._run = 0  # steps of an earlier run that come late are dropped
        self._working = self._works = False
        self._at = 0.0
        self._host = ""
        self._rows: list[Flow] = []
        self._dialog: Dialog | None = None

    def begin(self) -> None:
        """Run the test, and show its steps. A configuration with an error is not tested."""
        try:
            config = draft_config(self._context)
        except ConfigProblems as problems:
            text = "\n".join(f"• {clean(each.text, 300)}" for each in problems.problems if each.is_error)
            close = self._context.shell.close
            self._context.shell.open(message("Not tested", f"The settings have an error:\n\n{text}", close, width=76))
            return
        self._run += 1
        self._rows, self._host, self._at = [], "", time.monotonic()
        self._working, self._works = True, False
        if self._dialog is None:
            self._dialog = self._opened()
        self._show()
        told = partial(self._told_in_thread, self._run)
        finished, failed = partial(self._finished, self._run), partial(self._failed, self._run)
        self._context.run(lambda: self._probe.run(config, told), finished, failed)

    def _opened(self) -> Dialog:
        buttons = [("Again", self._again), ("Send a test message", self._send), ("Close", self._close)]
        dialog = Dialog(self._probe.title, [urwid.Text("")], buttons, self._close, width=76, focus_button=2)
        self._context.shell.open(dialog)
        return dialog

    def _again(self) -> None:
        if not self._working:
            self.begin()

    def _close(self) -> None:
        self._run += 1
        if self._dialog is not None:
            self._context.shell.dismiss(self._dialog)
        self._done(self._works)

    def _send(self) -> None:
        self._close()
        ask_trial(self._context)

    def _told_in_thread(self, run: int, host: str, step: ProbeStep) -> None:
        now = time.monotonic()
        took, self._at = now - self._at, now
        self._context.background.call(partial(self._told, run, host, step, took))

    def _told(self, run: int, host: str, step: ProbeStep, took: float) -> None:
        if run != self._run:
            return
        if host != self._host:
            self._host = host
            self._rows.append(urwid.Text(("help label", clean(host, 200))))
        look, mark = _MARKS[step.state]
        self._rows.append(urwid.Text((look, f"{mark} {_step_words(host, step, took)}")))
        if step.state == FAILED:
            self._rows.append(self._advice(step))
        self._show()

    def _advice(self, step: ProbeStep) -> Flow:
        def go() -> None:
            self._close()
            self._context.shell.go(*self._probe.places(step.name))

        text = clean(step.advice or "look at the setting.", 400)
        there = urwid.AttrMap(button("Go there", go), "button", "button focus")
        return urwid.Columns([urwid.Text(("warn", f"  → {text}")), (10, there)], dividechars=1)

    def _finished(self, run: int, found: tuple[HostProbe, ...]) -> None:
        if run != self._run:
            return
        self._working = False
        self._works = bool(found) and all(each.works for each in found)
        if self._works:
            self._rows.append(urwid.Text(("good", "✓ It works.")))
        self._rows.append(urwid.Text(("dim", "– no test message was sent")))
        self._show()

    def _failed(self, run: int, problem: Exception) -> None:
        if run == self._run:
            self._working = False
            self._rows.append(urwid.Text(("bad", f"✗ {sentence(problem)}")))
            self._show()

    def _show(self) -> None:
        if self._dialog is not None:
            waiting = [urwid.Text(("dim", "… one moment"))] if self._working else []
            self._dialog.show_rows([*self._rows, *waiting])


def _step_words(host: str, step: ProbeStep, took: float) -> str:
    if step.state == OK and step.name in _WORDS:
        text = clean(step.text, 300)
        return _WORDS[step.name].format(
            host=clean(host.rpartition(":")[0], 200), text=text, took=max(1, round(took * 1000))
        )
    return clean(f"{step.name}: {step.text or 'not tried'}", 600)

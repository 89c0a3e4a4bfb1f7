"""Signing & DNS: the options, the DKIM keys with their states, and the records that each domain has to publish."""

import time
from collections.abc import Sequence
from functools import partial

import urwid

from smtpd_classic.config import Config
from smtpd_classic.config.kinds import choice
from smtpd_classic.dns import DnsFailure, DnsResolver
from smtpd_classic.doctor.examination import (
    ALGORITHMS,
    algorithm_of,
    is_shown,
    key_store,
    publication_of,
    records_of,
    signing_domains,
    stored_keys,
)
from smtpd_classic.doctor.reports import ReportSummary, received_reports
from smtpd_classic.keys.publication import RecordState
from smtpd_classic.keys.records import DnsRecord, zone_fragment
from smtpd_classic.keys.store import IN_USE, NEW, RETIRED, SEEN, DkimKey
from tui.config import apply
from tui.config.form import Form
from tui.diagnosis.records_dialog import CheckedRecord, show_records
from tui.diagnosis.reports_dialog import show_reports
from tui.shell.context import AppContext
from tui.shell.fields_dialog import FieldsDialog, entry
from tui.shell.help_pane import WithHelp
from tui.shell.screen import BaseScreen, Help
from tui.widgets.buttons import ButtonRow
from tui.widgets.dialog import Dialog, ask
from tui.widgets.flow import Flow
from tui.widgets.table import Column, TableRow
from tui.widgets.text import clean, day_and_clock

__all__ = ["SigningScreen", "first_key"]

_COLUMNS = (Column("Domain", share=2), Column("Selector", share=1), Column("State", 9), Column("Since", 12, least=40))
_NEXT = {
    NEW: "DNS does not show it yet. Publish its record; mail is signed with it as soon as all name servers show it.",
    SEEN: "DNS shows it, but not at every name server yet. Mail is signed with it when all show it.",
    IN_USE: "Mail of the domain is signed with it. Keep its record in DNS.",
    RETIRED: "Mail is not signed with it any more. Keep its record in DNS for 30 days, then remove it.",
}


def first_key(config: Config) -> tuple[DkimKey, ...]:
    """Make the first key of the primary domain if it has none; return the new keys. Raises OSError."""
    store, domain = key_store(config), signing_domains(config)[0]
    return () if store.keys(domain) else store.add(domain, algorithm_of(config, domain), time.time())


class SigningScreen(BaseScreen):
    """The form of the section, and below its fields the keys; Enter shows the record of a key and its next step."""

    attribute = "signing"

    def __init__(self, context: AppContext) -> None:
        self._context = context
        self._keys: list[DkimKey] = []
        self._form = Form(context, context.draft.single("signing"), context.shell.changed)
        self._fixed = len(self._form.fields)
        labels = {
            "Apply": "apply",
            "Reset": "reset",
            "Diff": "diff",
            "Make a key": "make key",
            "DNS records": "records",
            "Reports": "reports",
        }
        self._pane = WithHelp(
            self._form.widget,
            ButtonRow([(label, partial(self.do, command)) for label, command in labels.items()]),
            self.help,
        )
        self._show_keys([])

    @property
    def contexts(self) -> tuple[str, ...]:
        return ("settings", "signing")

    @property
    def widget(self) -> urwid.AbstractWidget:
        return self._pane

    def show(self) -> None:
        self._form.show(self._context.draft.single("signing"))
        config = self._context.source.config
        if config is not None:
            self._context.run(lambda: _all_keys(config), self._show_keys)
        self._pane.show_help()

    def _show_keys(self, keys: list[DkimKey]) -> None:
        self._keys = keys
        now = self._context.clock()
        rows: list[Flow] = [urwid.Divider()]
        rows.append(urwid.WidgetDisable(TableRow(_COLUMNS, [each.title for each in _COLUMNS], lambda: None, "head")))
        for key in keys:
            cells = [clean(key.domain, 254), clean(key.selector, 63), key.state, day_and_clock(key.since, now)]
            rows.append(TableRow(_COLUMNS, cells, self._open, "dim" if key.state == RETIRED else "row"))
        if not keys:
            rows.append(urwid.Text(("dim", "No DKIM key yet. [Make a key] makes one.")))
        self._form.show_after(rows)
        self._pane.show_help()

    def _chosen(self) -> DkimKey | None:
        at = self._form.position - self._fixed - 2
        return self._keys[at] if 0 <= at < len(self._keys) else None

    def do(self, command: str) -> bool:
        if command == "make key":
            self._make()
        elif command == "records":
            self._records()
        elif command == "reports":
            self._reports()
        else:
            return apply.do(self._context, command, ("signing",))
        return True

    def focus_option(self, name: str) -> None:
        if self._form.focus_option(name):
            self._pane.frame.focus_position = "body"
            self._pane.show_help()

    def help(self) -> Help | None:
        key = self._chosen()
        return (f"DKIM key {key.selector} of {key.domain}", _NEXT[key.state]) if key is not None else self._form.help()

    # --- keys

    def _make(self) -> None:
        config = self._context.usable_config()
        if config is None:
            return
        domains = signing_domains(config)
        fields = [
            (entry("domain", choice(*domains), "Domain", "The domain that the key signs for."), domains[0]),
            (
                entry(
                    "algorithm",
                    choice(*ALGORITHMS),
                    "Algorithm",
                    "rsa2048 is verified everywhere; with two, both sign.",
                ),
                algorithm_of(config, domains[0]),
            ),
        ]

        def made(keys: tuple[DkimKey, ...]) -> None:
            self.show()
            self._context.shell.say("The key is made. Publish its record; it is used as soon as DNS shows it.", "good")
            self._show_key(keys[0], stored_keys(config).record(keys[0]))

        FieldsDialog(
            self._context,
            "Make a DKIM key",
            fields,
            lambda values: key_store(config).add(values["domain"], values["algorithm"], time.time()),
            made,
        ).open()

    def _open(self) -> None:
        key, config = self._chosen(), self._context.source.config
        if key is not None and config is not None:
            self._context.run(lambda: stored_keys(config).record(key), partial(self._show_key, key))

    def _show_key(self, key: DkimKey, record: str) -> None:
        shell = self._context.shell
        text = zone_fragment([DnsRecord(key.dns_name, "TXT", record, f"DKIM key {key.selector} of {key.domain}.")])
        rows: list[Flow] = [urwid.Text(f"{key.algorithm}, {key.state}. {_NEXT[key.state]}"), urwid.Divider()]
        rows += [urwid.Text(("head", "Name")), urwid.Text(clean(key.dns_name, 300), wrap="any")]
        rows += [urwid.Text(("head", "TXT record")), urwid.Text(clean(record, 2000), wrap="any")]
        buttons = [("Copy the record", lambda: shell.copy(text))]
        if key.state in {NEW, SEEN}:
            buttons.append(("Sign with it now", partial(self._use, key)))
        if key.state != RETIRED:
            buttons.append(("Retire", partial(self._retire, key)))
        buttons.append(("Close", shell.close))
        title = f"DKIM key {key.selector} of {key.domain}"
        shell.open(Dialog(clean(title, 60), rows, buttons, shell.close, width=78, focus_button=0))

    def _use(self, key: DkimKey) -> None:
        """Sign with the key if every name server shows it."""
        context, config = self._context, self._context.source.config
        if config is None:
            return
        context.shell.close()
        context.shell.say("Asking DNS …")

        def work() -> RecordState:
            return publication_of(config, key_store(config)).use(key, time.time())

        context.run(work, partial(self._used, key))

    def _used(self, key: DkimKey, shown: RecordState) -> None:
        if shown is RecordState.YES:
            self._context.shell.say(f"Mail of {key.domain} is signed with {key.selector} from now on.", "good")
        else:
            self._context.shell.say(f"Not used: {shown.value} ({key.dns_name}).", "bad")
        self.show()

    def _retire(self, key: DkimKey) -> None:
        context, config = self._context, self._context.source.config
        if config is None:
            return

        def really() -> None:
            context.shell.close()
            context.run(lambda: key_store(config).set_state(key, RETIRED, time.time()), lambda _: retired())

        def retired() -> None:
            self.show()
            context.shell.say(f"{key.selector} is retired. Keep its record in DNS for 30 days.", "good")

        context.shell.close()
        others = any(each.state == IN_USE and each != key and each.domain == key.domain for each in self._keys)
        unsigned = "" if others else f" Mail of {key.domain} then leaves without a signature until another key is used."
        answers = [("Keep", context.shell.close), ("Retire", really)]
        context.shell.open(
            ask("Retire the key?", f"Stop signing with {key.selector}?{unsigned}", answers, context.shell.close)
        )

    def _records(self) -> None:
        """Show the records of all domains, and compare them with DNS."""
        context, config = self._context, self._context.usable_config()
        if config is None:
            return
        context.shell.say("Asking DNS …")
        context.run(lambda: _checked(config), partial(show_records, context))

    def _reports(self) -> None:
        """Show the sums of the DMARC reports that have arrived about each domain."""
        context, config = self._context, self._context.source.config
        if config is None:
            return
        context.shell.say("Reading the reports …")
        now = context.clock()

        def read() -> dict[str, ReportSummary]:
            return {domain: received_reports(config, domain, now) for domain in signing_domains(config)}

        context.run(read, partial(show_reports, context))


def _all_keys(config: Config) -> list[DkimKey]:
    store = stored_keys(config)
    domains = dict.fromkeys([*signing_domains(config), *store.domains()])
    return [key for domain in domains for key in store.keys(domain)]


def _checked(config: Config) -> Sequence[CheckedRecord]:
    store, resolver = stored_keys(config), DnsResolver(config.server.name_servers)
    domains = signing_domains(config)
    return [_check(resolver, record) for domain in domains for record in records_of(config, store, domain)]


def _check(resolver: DnsResolver, record: DnsRecord) -> CheckedRecord:
    if record.optional or record.kind == "SRV":
        return CheckedRecord(record, None)
    try:
        return CheckedRecord(record, is_shown(resolver, record))
    except DnsFailure:
        return CheckedRecord(record, None)

"""The doctor: all green for a good server, and for each thing that is broken exactly that row."""

import json
import re
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from smtpd_classic.config.load import parse
from smtpd_classic.dns import DnsFailure, FixedResolver, NoSuchDomain
from smtpd_classic.doctor import CheckResult, CheckState, Examination, examine
from smtpd_classic.doctor.reports import ReportSummary, SourceSummary
from smtpd_classic.keys.publication import Publication
from smtpd_classic.keys.store import IN_USE, RETIRED, KeyStore
from smtpd_classic.runtime.last_backup import note_backup
from smtpd_classic.runtime.status import Listening, StatusFile, own_status
from spool import Envelope, Hold, Recipient, Spool, new_queue_id
from tests.instance import Instance
from tests.milter.fake import FakeFilter
from tests.server.certificates import put_pair

NOW = 1_795_900_000.0
IP = "192.0.2.1"
Txt = dict[str, Sequence[bytes] | Exception]
SILENCE = DnsFailure("silence")


class Patient:
    """A server that is well. Tests change one of its parts."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.options = ""
        self.server_options = ""
        self.now = NOW
        self.helo = "mail.example.org"
        self.domains: tuple[str, ...] = ("example.org",)
        self.store = KeyStore(str(folder / "dkim"))
        (key,) = self.store.add("example.org", "ed25519", NOW)
        self.store.set_state(key, IN_USE, NOW)
        self.key = key
        self.mx: dict[str, Any] = {"example.org": [(10, "mail.example.org")]}
        self.addresses: dict[str, Any] = {"mail.example.org": [IP]}
        self.pointers: dict[str, Any] = {IP: ["mail.example.org"]}
        self.ns: dict[str, Any] = {"example.org": ["ns.example.org"]}
        self.public: tuple[str, ...] = (IP,)
        self.txt: Txt = {
            "example.org": (b"v=spf1 mx ~all",),
            key.dns_name: (self.store.record(key).encode(),),
            "_dmarc.example.org": (b"v=DMARC1; p=none; rua=mailto:dmarc@example.org",),
            "slow.example": SILENCE,
        }
        self.banner: Callable[[str, int], str] = lambda host, port: f"220 {host}"
        self.reach: Callable[[str, int], None] = lambda host, port: None
        self.visitor = (
            f"{time.strftime('%b %d %H:%M:%S', time.localtime(NOW - 3600))} mx smtpd: connect from x[8.8.8.8]"
        )
        self.reports: Callable[[str], ReportSummary] = lambda domain: ReportSummary()
        self.name_servers: tuple[str, ...] = ("127.0.0.1",)
        self.ca_file = str(folder / "tls/certificate.pem")
        (folder / "users").write_text(
            "dmarc@example.org:{ARGON2ID}$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$aGFzaA::::::\n"
        )
        (folder / "aliases").write_text("postmaster@example.org: dmarc@example.org\n")
        self.probes: tuple[str, ...] = ("mx.elsewhere.example",)
        self.lists: tuple[str, ...] = ("list.example",)
        self.on_demand, self.kept_in = True, ""
        (folder / "spool").mkdir()
        (folder / "mail").mkdir()
        (folder / "log").write_text("")
        self.spool = Spool(str(folder / "spool"))
        self.spool.make()
        note_backup(str(folder / "spool"), NOW - 3600)
        (folder / "tls").mkdir()
        put_pair(folder / "tls/certificate.pem", folder / "tls/key.pem", "mail.example.org")

    def rows(self) -> list[CheckResult]:
        """All rows."""
        text = (
            f"[server]\nprimary_domain = example.org\nspool_folder = spool\nmail_folder = mail\nrun_folder = run\n"
            f"log = {self.folder}/log\n"
            f"users_file = users\naliases_file = aliases\n{self.server_options}"
            f"[basic]\nhelo_name = {self.helo}\nmin_free_space = 0\n"
            f"[listener smtp]\nport = 25\n{self.options}"
        )
        config = parse(text, self.folder / "smtpd-classic.conf")
        resolver = FixedResolver(self.mx, self.addresses, txt=self.txt, pointers=self.pointers, ns=self.ns)
        examination = Examination(
            config=config,
            resolver=resolver,
            store=self.store,
            publication=Publication(self.store, resolver, lambda ip: resolver),
            public=self.public,
            domains=self.domains,
            clock=lambda: self.now,
            banner=self.banner,
            reach=self.reach,
            last_visitor=lambda: self.visitor,
            reports=self.reports,
            name_servers=self.name_servers,
            ca_file=self.ca_file,
            probe_hosts=self.probes,
            lists=self.lists,
            on_demand=self.on_demand,
            kept_in=self.kept_in,
        )
        return examine(examination)

    def examined(self) -> list[tuple[str, str]]:
        """The rows that are not good: subject and state. Those about the machine that runs the test are left out."""
        rows = [each for each in self.rows() if each.subject not in {"server", "clock"}]
        assert all(each.advice for each in rows if each.state is CheckState.WRONG)
        return [(each.subject, str(each.state)) for each in rows if each.state is not CheckState.GOOD]


@pytest.fixture
def patient(tmp_path: Path) -> Patient:
    return Patient(tmp_path)


def test_a_good_server_has_no_complaint(patient: Patient) -> None:
    assert patient.examined() == []


WRONG, UNKNOWN = str(CheckState.WRONG), str(CheckState.UNKNOWN)
KEY = "DKIM key 202611e of example.org"
TERMS, TLS = "SPF terms of example.org", "TLS reports of example.org"
SPF = f"SPF of example.org for {IP}"


@pytest.mark.parametrize(
    ("part", "change", "rows"),
    [
        ("pointers", {IP: ["other.example"]}, [(f"reverse name of {IP}", WRONG)]),
        ("pointers", {}, [(f"reverse name of {IP}", WRONG)]),
        ("pointers", {IP: SILENCE}, [(f"reverse name of {IP}", UNKNOWN)]),
        ("mx", {"example.org": [(10, "mx.other.example")]}, [("MX of example.org", WRONG), (SPF, WRONG)]),
        ("mx", {"example.org": SILENCE}, [("MX of example.org", UNKNOWN), (SPF, UNKNOWN)]),
        ("ns", {"example.org": SILENCE}, [("resolver", UNKNOWN)]),
    ],
)
def test_a_part_that_is_broken_is_named(
    patient: Patient, part: str, change: Mapping[str, Any], rows: list[tuple[str, str]]
) -> None:
    setattr(patient, part, change)
    assert patient.examined() == rows


@pytest.mark.parametrize(
    ("name", "value", "rows"),
    [
        ("example.org", (), [(SPF, WRONG)]),
        ("example.org", (b"v=spf1 mx", b"v=spf1 a"), [(SPF, WRONG)]),
        ("example.org", (b"v=spf1 nonsense",), [(SPF, WRONG)]),
        ("example.org", (b"v=spf1 ip4:198.51.100.1 -all",), [(SPF, WRONG)]),
        ("example.org", (b"v=spf1 " + b"a:mail.example.org " * 11 + b"-all",), [(TERMS, WRONG)]),
        ("example.org", (b"v=spf1 mx include:gone.example -all",), [(TERMS, WRONG)]),
        ("example.org", (b"v=spf1 mx include:slow.example -all",), [(TERMS, UNKNOWN)]),
        ("example.org", (b"v=spf1 mx +all",), [("SPF for all other hosts of example.org", WRONG)]),
        ("example.org", (b"v=spf1 mx",), []),
        ("mail.example.org", (b"v=spf1 -all",), [(f"SPF of mail.example.org for {IP}", WRONG)]),
        ("mail.example.org", (b"v=spf1 a -all",), []),
        ("mail.example.org", SILENCE, [(f"SPF of mail.example.org for {IP}", UNKNOWN)]),
        ("_smtp._tls.example.org", (b"v=TLSRPTv1; rua=mailto:a@example.org",) * 2, [(TLS, WRONG)]),
        ("_smtp._tls.example.org", (b"v=TLSRPTv1;",), [(TLS, WRONG)]),
        ("_smtp._tls.example.org", SILENCE, [(TLS, UNKNOWN)]),
        (
            "_dmarc.example.org",
            (b"v=DMARC1; p=none; rua=mailto:nobody@example.org",),
            [("report addresses of example.org", WRONG)],
        ),
        ("example.org", (b"v=spf1 " + b"a:example.org " * 11 + b"-all",), [(SPF, WRONG)]),
        ("example.org", SILENCE, [(SPF, UNKNOWN)]),
        ("202611e._domainkey.example.org", (), [(KEY, WRONG)]),
        ("202611e._domainkey.example.org", (b"v=DKIM1; k=ed25519; p=",), [(KEY, WRONG)]),
        ("202611e._domainkey.example.org", SILENCE, [(KEY, UNKNOWN)]),
        ("_dmarc.example.org", (), [("DMARC of example.org", WRONG)]),
        ("_dmarc.example.org", (b"v=DMARC1; p=none",) * 2, [("DMARC of example.org", WRONG)]),
        ("_dmarc.example.org", (b"v=DMARC1; p=nonsense",), [("DMARC of example.org", WRONG)]),
        ("_dmarc.example.org", SILENCE, [("DMARC of example.org", UNKNOWN)]),
        (
            "_dmarc.example.org",
            (b"v=DMARC1; p=none; rua=mailto:a@reports.example",),
            [("DMARC reports of example.org to reports.example", WRONG)],
        ),
    ],
)
def test_a_txt_record_that_is_broken_is_named(
    patient: Patient, name: str, value: Sequence[bytes] | Exception, rows: list[tuple[str, str]]
) -> None:
    patient.txt[name] = value
    assert patient.examined() == rows


def test_the_dmarc_record_of_the_organization_holds_for_a_domain_below_it(patient: Patient) -> None:
    patient.domains = ("example.org", "lists.example.org")
    row = "DMARC of lists.example.org"

    def found() -> tuple[str, str]:
        return next((str(each.state), each.found) for each in patient.rows() if each.subject == row)

    assert found() == ("good", "p=none, by the record of example.org")
    patient.txt["_dmarc.lists.example.org"] = (b"v=DMARC1; p=quarantine",)
    assert found() == ("good", "p=quarantine")
    patient.txt |= {"_dmarc.lists.example.org": (), "_dmarc.example.org": ()}
    assert found() == (WRONG, "there is no record")
    patient.txt["_dmarc.org"] = (b"v=DMARC1; p=reject; psd=y",)
    assert found() == (WRONG, "there is no record")
    patient.txt["_dmarc.example.org"] = SILENCE
    assert found()[0] == UNKNOWN


def test_the_addresses_of_reports_are_read_as_uris(patient: Patient) -> None:
    patient.options = "[domain bücher.example]\n[signing]\ndmarc_reports_to = a!b@bücher.example\n"
    uris = "mailto:a%21b@xn--bcher-kva.example, https://reports.example/x@y"
    patient.txt |= {
        "_dmarc.example.org": (f"v=DMARC1; p=none; rua={uris}".encode(),),
        "example.org._report._dmarc.xn--bcher-kva.example": (b"v=DMARC1",),
    }
    assert patient.examined() == []


def test_a_name_without_or_with_a_wrong_address(patient: Patient) -> None:
    patient.addresses = {"mail.example.org": ["198.51.100.9"]}
    assert ("address of mail.example.org", WRONG) in patient.examined()
    patient.addresses = {"mail.example.org": SILENCE}
    assert ("address of mail.example.org", UNKNOWN) in patient.examined()
    patient.addresses = {}
    assert ("address of mail.example.org", WRONG) in patient.examined()


def refused(host: str, port: int) -> str:
    raise ConnectionRefusedError(111, "Connection refused")


def silent(host: str, port: int) -> str:
    raise TimeoutError(110, "Connection timed out")


def test_a_backup_mx(patient: Patient) -> None:
    subject = "backup MX mx2.elsewhere.example of example.org"
    patient.mx["example.org"].append((20, "mx2.elsewhere.example"))
    assert patient.examined() == [(subject, WRONG)]
    patient.addresses["mx2.elsewhere.example"] = ["198.51.100.7"]
    assert patient.examined() == []
    patient.probes = ()
    for banner, state in ((refused, WRONG), (silent, UNKNOWN)):
        patient.banner = banner
        assert patient.examined() == [("port 25 out", UNKNOWN), (subject, state)]
    patient.addresses["mx2.elsewhere.example"] = SILENCE
    assert (subject, WRONG) not in patient.examined()


def test_own_name_and_addresses(patient: Patient) -> None:
    patient.public = ()
    patient.pointers = {}
    assert ("own address", UNKNOWN) in patient.examined()
    assert WRONG not in {state for _, state in patient.examined()}
    patient.public = ("10.0.0.5",)
    assert ("own address 10.0.0.5", WRONG) in patient.examined()


@pytest.mark.parametrize("name", ["mail", "mail.localdomain", "mail.lan"])
def test_a_name_in_helo_that_means_nothing(patient: Patient, name: str) -> None:
    patient.helo = name
    assert ("name in HELO", WRONG) in patient.examined()


def test_a_public_resolver_matters_where_block_lists_are_asked(patient: Patient) -> None:
    patient.name_servers = ("9.9.9.9",)
    assert patient.examined() == [("kind of resolver", WRONG)]
    patient.lists = ()
    assert patient.examined() == []


def test_visitors(patient: Patient) -> None:
    for line in ("", "nonsense", patient.visitor):
        patient.visitor = line
        patient.now = NOW + (2 * 86_400 if "connect" in line else 0)
        assert patient.examined() == [("port 25 in", UNKNOWN)]


def test_the_certificate_for_others(patient: Patient) -> None:
    patient.ca_file = ""
    assert patient.examined() == [("certificate chain", WRONG)]
    patient.ca_file = str(patient.folder / "tls/certificate.pem")
    put_pair(patient.ca_file, patient.folder / "tls/key.pem", "other.example")
    assert patient.examined() == [("certificate name", WRONG)]
    (patient.folder / "tls/key.pem").chmod(0o644)
    assert ("certificate", WRONG) in patient.examined()


def test_files_that_are_open_or_broken(patient: Patient) -> None:
    (patient.folder / "dkim/example.org" / f"{patient.key.selector}.pem").chmod(0o644)
    assert patient.examined() == [("key files of example.org", WRONG)]
    (patient.folder / "dkim/example.org" / f"{patient.key.selector}.pem").chmod(0o600)
    (patient.folder / "users").write_text("nonsense\n")
    assert patient.examined() == [("accounts", WRONG)]


def test_an_error_of_the_configuration(patient: Patient) -> None:
    patient.options = "[remote]\nrelay_always = yes\n"
    assert ("configuration", WRONG) in patient.examined()


def test_listeners_of_a_running_server(patient: Patient) -> None:
    run = patient.folder / "run"
    run.mkdir()
    listening = (Listening("smtp", "0.0.0.0", 25, "starttls"), Listening("submissions", "::", 465, "implicit"))
    status = own_status("", "", "1")
    StatusFile(str(run / "status.json")).write(replace(status, listening=listening))
    asked: list[tuple[str, int]] = []
    patient.reach = lambda host, port: asked.append((host, port))
    assert patient.examined() == []
    assert asked == [("127.0.0.1", 25), ("::1", 465)]

    def closed(host: str, port: int) -> None:
        if port == 465:
            refused(host, port)

    patient.reach = closed
    assert patient.examined() == [("listener submissions at :: port 465", WRONG)]
    StatusFile(str(run / "status.json")).write(replace(status, not_listening=("0.0.0.0 port 25: in use",)))
    assert patient.examined() == [("listener", WRONG)]


def test_held_messages(patient: Patient) -> None:
    with patient.spool.draft(new_queue_id(NOW)) as draft:
        draft.write(b"Subject: x\n\n")
        draft.commit(Envelope("a@example.org", (Recipient("b@example.net"),)), NOW, Hold())
    assert patient.examined() == [("held messages", WRONG)]


def summary(days: int, passed: int) -> ReportSummary:
    """A hundred messages, of which so many passed."""
    return ReportSummary(2, 1, 1 + days * 86_400, {"Big"}, {"192.0.2.1": SourceSummary(100, passed)})


@pytest.mark.parametrize(
    ("days", "passed", "proposed"), [(14, 98, True), (13, 100, False), (30, 97, False), (0, 0, False)]
)
def test_a_stricter_policy_is_proposed_when_reports_allow_it(
    patient: Patient, days: int, passed: int, proposed: bool
) -> None:
    patient.reports = lambda domain: summary(days, passed) if days else ReportSummary()
    (row,) = [each for each in patient.rows() if each.subject == "DMARC policy of example.org"]
    assert ("p=quarantine" in row.advice) == proposed
    assert row.state is CheckState.GOOD
    patient.txt["_dmarc.example.org"] = (b"v=DMARC1; p=quarantine",)
    assert not [each for each in patient.rows() if each.subject == "DMARC policy of example.org"]


def test_reports_that_cannot_be_read(patient: Patient) -> None:
    def broken(domain: str) -> ReportSummary:
        raise PermissionError(13, "Permission denied")

    patient.reports = broken
    assert patient.examined() == [("DMARC policy of example.org", UNKNOWN)]


def test_a_good_server_has_thirty_rows(patient: Patient) -> None:
    patient.mx["example.org"].append((20, "mx2.elsewhere.example"))
    patient.addresses["mx2.elsewhere.example"] = ["198.51.100.7"]
    assert len(patient.rows()) >= 30


@pytest.mark.parametrize("problem", [SILENCE, NoSuchDomain("mx.elsewhere.example does not exist")])
def test_a_host_whose_name_cannot_be_looked_up_is_not_a_closed_port(patient: Patient, problem: Exception) -> None:
    def unresolved(host: str, port: int) -> str:
        raise problem

    patient.banner = unresolved
    assert patient.examined() == [("port 25 out", UNKNOWN)]


def test_port_25_and_block_lists(patient: Patient) -> None:
    patient.banner = refused
    assert patient.examined() == [("port 25 out", WRONG)]
    patient.banner, patient.probes = (lambda host, port: f"220 {host}"), ()
    assert patient.examined() == [("port 25 out", UNKNOWN)]
    patient.probes = ("mx.elsewhere.example",)
    for answer, state in (("127.0.0.2", WRONG), ("127.255.255.254", UNKNOWN)):
        patient.addresses["1.2.0.192.list.example"] = [answer]
        assert patient.examined() == [(f"{IP} in list.example", state)]


def test_servers_of_others_are_asked_on_demand_or_once_a_day(patient: Patient) -> None:
    patient.kept_in = str(patient.folder / "asked.json")
    asked: list[str] = []

    def banner(host: str, port: int) -> str:
        asked.append(host)
        return f"220 {host}"

    def lists() -> list[tuple[str, str]]:
        return [each for each in patient.examined() if "list.example" in each[0]]

    patient.banner = banner
    listed = [(f"{IP} in list.example", WRONG)]
    patient.addresses["1.2.0.192.list.example"] = ["127.0.0.2"]
    assert lists() == listed
    assert lists() == listed
    assert len(asked) == 2
    patient.on_demand = False
    del patient.addresses["1.2.0.192.list.example"]
    assert lists() == listed, "of the last time"
    (row,) = [each for each in patient.rows() if each.state is CheckState.WRONG and "list.example" in each.subject]
    assert re.search(r"listed \(127\.0\.0\.2\) \(20\d\d-\d\d-\d\d \d\d:\d\d UTC\)$", row.found)
    assert len(asked) == 2
    patient.lists = ("list.example", "other.example")
    assert lists() == [], "the settings are others"
    assert len(asked) == 3
    patient.addresses["1.2.0.192.list.example"] = ["127.0.0.2"]
    assert lists() == []
    patient.now += 86_401
    assert lists() == listed
    assert len(asked) == 4
    Path(patient.kept_in).write_text("{")
    assert lists() == listed
    assert len(asked) == 5


def test_with_a_relay_the_own_address_counts_for_nothing(patient: Patient) -> None:
    patient.options = "[remote]\nrelay_always = yes\nrelay_hosts = smtp.relay.example\n"
    patient.pointers, patient.probes = {}, ()
    patient.txt["example.org"] = (b"v=spf1 include:relay.example ~all",)
    patient.txt["relay.example"] = (b"v=spf1 -all",)
    assert patient.examined() == []


def test_without_spf_and_a_key_forged_mail_is_not_seen(patient: Patient) -> None:
    forged = ("forged mail of example.org", WRONG)
    patient.txt["example.org"] = ()
    assert forged not in patient.examined()
    patient.store.set_state(patient.key, RETIRED, NOW)
    assert forged in patient.examined()
    patient.options = "[authentication]\nown_domains = mark\n"
    assert forged not in patient.examined()


def test_keys_that_are_missing_damaged_or_retired(patient: Patient) -> None:
    patient.store.set_state(patient.key, RETIRED, NOW)
    assert patient.examined() == [("DKIM of example.org", WRONG)]
    Path(patient.store.folder, "example.org", "state.json").write_text("{")
    assert patient.examined() == [("DKIM of example.org", WRONG)]


def test_a_domain_that_is_never_signed_needs_no_key(patient: Patient) -> None:
    patient.txt.pop(patient.key.dns_name)
    assert patient.examined() == [(KEY, WRONG)]
    patient.options = "[domain other.example]\naliases = example.net\n[domain example.org]\nsign = no\n"
    assert patient.examined() == []
    patient.store.set_state(patient.key, RETIRED, NOW)
    assert patient.examined() == []


def test_the_machine(patient: Patient) -> None:
    with patient.spool.draft(new_queue_id(NOW)) as draft:
        draft.write(b"Subject: x\n\n")
        draft.commit(Envelope("a@example.org", (Recipient("b@example.net"),)), NOW)
    patient.now = NOW + 6 * 86_400
    assert ("queue", WRONG) in patient.examined()
    (patient.folder / "log").unlink()
    assert ("log", WRONG) in patient.examined()
    (patient.folder / "tls/certificate.pem").write_text("nonsense")
    assert ("certificate", WRONG) in patient.examined()


def test_the_last_backup_is_not_old(patient: Patient) -> None:
    note_backup(str(patient.folder / "spool"), NOW - 9 * 86_400)
    assert patient.examined() == [("last backup", WRONG)]
    (patient.folder / "spool/last-backup").write_text("nonsense")
    assert patient.examined() == [("last backup", UNKNOWN)]
    (patient.folder / "spool/last-backup").unlink()
    assert patient.examined() == [("last backup", UNKNOWN)]


def test_the_command_prints_rows_json_and_changes() -> None:
    with tempfile.TemporaryDirectory(prefix="smtpd-classic-") as folder:
        Path(folder).chmod(0o755)
        instance = Instance(Path(folder) / "instance")
        done = instance.run("doctor", "--no-lists")
        assert done.returncode == 1
        assert "[!!] server: it does not run" in done.stdout
        rows = json.loads(instance.run("doctor", "--json", "--no-lists").stdout)
        assert {row["state"] for row in rows} <= {"good", "wrong", "could not be asked"}
        instance.run("doctor", "--quiet", "--no-lists")
        assert instance.run("doctor", "--quiet", "--no-lists").stdout == ""


def test_a_milter_answers_or_is_down(patient: Patient, tmp_path: Path) -> None:
    filter_ = FakeFilter().listen(tmp_path)
    patient.options = f"[milter one]\naddress = {filter_.address}\n[milter two]\naddress = unix:{tmp_path}/none\n"
    assert patient.examined() == [("milter two", "wrong")]
    filter_.close()


def test_a_dns_list_that_does_not_work_is_named(patient: Patient) -> None:
    patient.options = "[filter]\nblocklists = good.list.example, gone.list.example\n"
    patient.addresses["2.0.0.127.good.list.example"] = ["127.0.0.2"]
    assert patient.examined() == [("list gone.list.example", "wrong")]


def test_an_allowlist_through_a_public_resolver_is_named(patient: Patient) -> None:
    patient.name_servers = ("8.8.8.8",)
    patient.options = "[filter]\nallowlists = good.list.example=127.0.0.2\n"
    patient.addresses["2.0.0.127.good.list.example"] = ["127.0.0.2"]
    assert ("list good.list.example", "wrong") in patient.examined()

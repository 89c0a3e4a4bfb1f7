"""The doctor: all green for a good server, and for each thing that is broken exactly that row."""

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from smtpd_classic.config.load import parse
from smtpd_classic.dns import DnsFailure, FixedResolver
from smtpd_classic.doctor import CheckState, Examination, examine
from smtpd_classic.keys.publication import Publication
from smtpd_classic.keys.store import IN_USE, RETIRED, KeyStore
from smtpd_classic.server.self_signed import make_self_signed
from spool import Envelope, Recipient, Spool, new_queue_id
from tests.instance import Instance

NOW = 1_795_900_000.0
IP = "192.0.2.1"
Txt = dict[str, Sequence[bytes] | Exception]
SILENCE = DnsFailure("silence")


class Patient:
    """A server that is well. Tests change one of its parts."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.options = ""
        self.now = NOW
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
        }
        self.banner: Callable[[str], str] = lambda host: f"220 {host}"
        self.probes: tuple[str, ...] = ("mx.elsewhere.example",)
        self.lists: tuple[str, ...] = ("list.example",)
        (folder / "spool").mkdir()
        (folder / "mail").mkdir()
        (folder / "log").write_text("")
        self.spool = Spool(str(folder / "spool"))
        self.spool.make()
        (folder / "tls").mkdir()
        make_self_signed(str(folder / "tls/certificate.pem"), str(folder / "tls/key.pem"), ("mail.example.org",))

    def examined(self) -> list[tuple[str, str]]:
        """The rows that are not good: subject and state. Those about the machine that runs the test are left out."""
        text = (
            f"[server]\nprimary_domain = example.org\nspool_folder = spool\nmail_folder = mail\nrun_folder = run\n"
            f"log = {self.folder}/log\n[basic]\nhelo_name = mail.example.org\nmin_free_space = 0\n"
            f"[listener smtp]\nport = 25\n{self.options}"
        )
        config = parse(text, self.folder / "smtpd-classic.conf")
        resolver = FixedResolver(self.mx, self.addresses, txt=self.txt, pointers=self.pointers, ns=self.ns)
        facts = Examination(
            config=config,
            resolver=resolver,
            store=self.store,
            publication=Publication(self.store, resolver, lambda ip: resolver),
            public=self.public,
            domains=("example.org",),
            clock=lambda: self.now,
            banner=self.banner,
            probe_hosts=self.probes,
            lists=self.lists,
        )
        rows = [each for each in examine(facts) if each.subject not in {"server", "clock"}]
        assert all(each.advice for each in rows if each.state is CheckState.WRONG)
        return [(each.subject, str(each.state)) for each in rows if each.state is not CheckState.GOOD]


@pytest.fixture
def patient(tmp_path: Path) -> Patient:
    return Patient(tmp_path)


def test_a_good_server_has_no_complaint(patient: Patient) -> None:
    assert patient.examined() == []


WRONG, UNKNOWN = str(CheckState.WRONG), str(CheckState.UNKNOWN)
KEY = "DKIM key 202611e of example.org"
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
        ("example.org", (b"v=spf1 " + b"a:mail.example.org " * 11 + b"-all",), []),
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


def test_a_name_without_or_with_a_wrong_address(patient: Patient) -> None:
    patient.addresses = {"mail.example.org": ["198.51.100.9"]}
    assert ("address of mail.example.org", WRONG) in patient.examined()
    patient.addresses = {"mail.example.org": SILENCE}
    assert ("address of mail.example.org", UNKNOWN) in patient.examined()
    patient.addresses = {}
    assert ("address of mail.example.org", WRONG) in patient.examined()


def test_port_25_and_block_lists(patient: Patient) -> None:
    def closed(host: str) -> str:
        raise ConnectionRefusedError(111, "Connection refused")

    patient.banner = closed
    assert patient.examined() == [("port 25 out", WRONG)]
    patient.banner, patient.probes = (lambda host: "220"), ()
    assert patient.examined() == [("port 25 out", UNKNOWN)]
    patient.probes = ("mx.elsewhere.example",)
    for answer, state in (("127.0.0.2", WRONG), ("127.255.255.254", UNKNOWN)):
        patient.addresses["1.2.0.192.list.example"] = [answer]
        assert patient.examined() == [(f"{IP} in list.example", state)]


def test_with_a_relay_the_own_address_counts_for_nothing(patient: Patient) -> None:
    patient.options = "[remote]\nrelay_always = yes\nrelay_hosts = smtp.relay.example\n"
    patient.pointers, patient.probes = {}, ()
    patient.txt["example.org"] = (b"v=spf1 include:relay.example ~all",)
    patient.txt["relay.example"] = (b"v=spf1 -all",)
    assert patient.examined() == []


def test_keys_that_are_missing_damaged_or_retired(patient: Patient) -> None:
    patient.store.set_state(patient.key, RETIRED, NOW)
    assert patient.examined() == [("DKIM of example.org", WRONG)]
    Path(patient.store.folder, "example.org", "state.json").write_text("{")
    assert patient.examined() == [("DKIM of example.org", WRONG)]


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


def test_the_command_prints_rows_json_and_changes() -> None:
    with tempfile.TemporaryDirectory(prefix="smtpd-classic-") as folder:
        Path(folder).chmod(0o755)
        instance = Instance(Path(folder) / "instance")
        done = instance.run("doctor")
        assert done.returncode == 1
        assert "[!!] server: it does not run" in done.stdout
        rows = json.loads(instance.run("doctor", "--json").stdout)
        assert {row["state"] for row in rows} <= {"good", "wrong", "could not be asked"}
        instance.run("doctor", "--quiet")
        assert instance.run("doctor", "--quiet").stdout == ""

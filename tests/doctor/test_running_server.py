"""The doctor of a running server in a network of its own, with a real name server and real hosts.

Each part is broken in turn. The doctor names that part and says what to do; a part that cannot be asked is not wrong.
"""

import os
import shutil
import smtplib
import socket
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import dns.message
import dns.rcode
import pytest

from smtpd_classic.config import load
from smtpd_classic.doctor import CheckResult, CheckState, examine
from smtpd_classic.doctor.examination import examination_of, stored_keys
from smtpd_classic.keys.store import IN_USE
from smtpd_classic.runtime.last_backup import note_backup
from spool import Envelope, Hold, Recipient, Spool, new_queue_id
from tests.client.fake_host import FakeHost
from tests.instance import Instance
from tests.peers.name_server import name_server
from tests.peers.namespace import own_network
from tests.server.certificates import put_pair
from tests.waiting import until

pytestmark = pytest.mark.peers

US, FAR, BACKUP, STRANGER = "192.0.2.1", "198.51.100.1", "198.51.100.2", "8.8.8.8"
WRONG, UNKNOWN = CheckState.WRONG, CheckState.UNKNOWN
LIST, REVERSE = "list.test", "1.2.0.192.in-addr.arpa"
Rows = dict[str, CheckState]


@dataclass
class Zone:
    """The records in DNS. `failing` are names for which the name server has no answer, with all names below them."""

    mx: dict[str, list[tuple[int, str]]]
    addresses: dict[str, str]
    txt: dict[str, Sequence[str]]
    pointer: str = "mail.us.test"
    failing: tuple[str, ...] = ()

    def answered(self, name: str) -> bool:
        return not any(f".{name}".endswith(f".{each}") for each in self.failing)

    def records(self, port: int) -> list[str]:
        """The lines for the name server; that for an address makes no reverse name, as `host-record` does."""
        lines = [_txt(name, text) for name, texts in self.txt.items() for text in texts if self.answered(name)]
        for name, ip in self.addresses.items():
            if self.answered(name):
                lines.append(f"dns-rr={name},1,{socket.inet_aton(ip).hex()}")
        if self.pointer and self.answered(REVERSE):
            lines.append(f"ptr-record={REVERSE},{self.pointer}")
        return lines + [f"server=/{name}/127.0.0.1#{port}" for name in self.failing]


def _txt(name: str, text: str) -> str:
    pieces = ",".join(f'"{text[at : at + 250]}"' for at in range(0, len(text), 250))
    return f"txt-record={name},{pieces}"


class Network:
    """The running server, and the name server that each examination has anew."""

    def __init__(self, folder: Path, server: Instance, failing_port: int) -> None:
        self.folder = folder
        self.server = server
        self.failing_port = failing_port
        self.selector = ""

    def zone(self) -> Zone:
        """The zone that the server prints, and the hosts of others."""
        config = load(self.server.file)
        store = stored_keys(config)
        (key,) = store.keys("us.test")
        self.selector = key.selector
        return Zone(
            {"us.test": [(10, "mail.us.test")]},
            {"mail.us.test": US, "mx.far.test": FAR},
            {
                "us.test": ("v=spf1 mx ~all",),
                "mail.us.test": ("v=spf1 a -all",),
                "_dmarc.us.test": ("v=DMARC1; p=none; rua=mailto:dmarc-reports@us.test",),
                "_smtp._tls.us.test": ("v=TLSRPTv1; rua=mailto:tls-reports@us.test",),
                key.dns_name: (store.record(key),),
            },
        )

    def rows(self, zone: Zone) -> list[CheckResult]:
        config = load(self.server.file)
        mx = {domain: hosts for domain, hosts in zone.mx.items() if zone.answered(domain)}
        with name_server(self.folder, mx, {}, zone.records(self.failing_port)):
            return examine(examination_of(config, stored_keys(config), lists=[LIST]))

    def found(self, zone: Zone) -> Rows:
        """The rows that are not good, by subject. That about the clock of this machine is left out."""
        rows = [each for each in self.rows(zone) if each.subject != "clock" and each.state is not CheckState.GOOD]
        assert all(each.advice for each in rows if each.state is WRONG)
        return {each.subject: each.state for each in rows}

    def reload(self) -> None:
        before = self.server.log().count("reload -- ")
        self.server.reload()
        until(lambda: self.server.log().count("reload -- ") > before, 20, self.server.log)

    @contextmanager
    def options(self, section: str, **values: str) -> Iterator[None]:
        """Set options in the file of the running server for a while."""
        before = self.server.file.read_text()
        try:
            for name, value in values.items():
                self.server.set(section, name, value)
            self.reload()
            yield
        finally:
            self.server.file.write_text(before)
            self.reload()


def _fail(server: socket.socket) -> None:
    """Answer each question with SERVFAIL, until the socket is closed."""
    with suppress(OSError):
        while True:
            data, client = server.recvfrom(4096)
            reply = dns.message.make_response(dns.message.from_wire(data))
            reply.set_rcode(dns.rcode.SERVFAIL)
            server.sendto(reply.to_wire(), client)


@pytest.fixture(scope="module")
def network() -> Iterator[Network]:
    folder = Path(tempfile.mkdtemp(prefix="doctor-"))
    folder.chmod(0o755)
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        stack.enter_context(own_network(US, FAR, BACKUP, STRANGER))
        failing = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        failing.bind(("127.0.0.1", 0))
        threading.Thread(target=_fail, args=(failing,), daemon=True).start()
        stack.callback(FakeHost("mx.far.test", ip=FAR, port=25).close)
        server = Instance(folder / "us", "us.test")
        _set_up(server)
        server.start()
        stack.callback(server.stop)
        with smtplib.SMTP(US, server.ports["smtp"], timeout=20, source_address=(STRANGER, 0)) as client:
            client.noop()
        until(lambda: f"[{STRANGER}]" in server.log(), 20, server.log)
        yield Network(folder, server, failing.getsockname()[1])


def _set_up(server: Instance) -> None:
    """Make it a server as the guide does: own name, address and certificate, and a key that signs."""
    values = {"public_addresses": US, "name_servers": "127.0.0.1:53", "probe_hosts": "mx.far.test"}
    server.set_all({("server", name): value for name, value in values.items()})
    server.set("basic", "helo_name", "mail.us.test")
    server.set("basic", "min_free_space", "0")
    for name in server.ports:
        server.set(f"listener {name}", "address", "0.0.0.0")
    files = [str(server.folder / "tls" / name) for name in ("certificate.pem", "key.pem")]
    owner = os.stat(files[1])
    put_pair(*files, "mail.us.test")
    for each in files:
        os.chown(each, owner.st_uid, owner.st_gid)
    config = load(server.file)
    store = stored_keys(config)
    (key,) = store.keys("us.test")
    store.set_state(key, IN_USE, time.time())
    note_backup(config.server.spool_folder, time.time())


@pytest.fixture(autouse=True)
def trusted(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    """The authorities of this machine have the certificate."""
    monkeypatch.setenv("SSL_CERT_FILE", str(network.server.folder / "tls" / "certificate.pem"))


def test_a_server_as_the_guide_makes_it_is_good(network: Network) -> None:
    zone = network.zone()
    assert network.found(zone) == {}
    zone.mx["us.test"].append((20, "mx.far.test"))
    assert len(network.rows(zone)) >= 30


SPF, HOST_SPF = f"SPF of us.test for {US}", f"SPF of mail.us.test for {US}"
TERMS, END = "SPF terms of us.test", "SPF for all other hosts of us.test"
HELO, POINTER, MX = "address of mail.us.test", f"reverse name of {US}", "MX of us.test"
DMARC, TLS = "DMARC of us.test", "TLS reports of us.test"
REPORTS, ALLOWED = "report addresses of us.test", "DMARC reports of us.test to reports.far.test"
LISTED = f"{US} in {LIST}"
POLICY = "v=DMARC1; p=none; rua=mailto:{}"

TEXTS: list[tuple[str, Sequence[str], Rows]] = [
    ("us.test", (), {SPF: WRONG}),
    ("us.test", ("v=spf1 mx ~all", "v=spf1 a ~all"), {SPF: WRONG}),
    ("us.test", ("v=spf1 mxx ~all",), {SPF: WRONG}),
    ("us.test", ("v=spf1 ip4:198.51.100.77 -all",), {SPF: WRONG}),
    ("us.test", ("v=spf1 include:gone.test mx ~all",), {SPF: WRONG}),
    ("us.test", ("v=spf1 mx include:gone.test ~all",), {TERMS: WRONG}),
    ("us.test", ("v=spf1 mx " + "a:mail.us.test " * 10 + "~all",), {TERMS: WRONG}),
    ("us.test", ("v=spf1 mx +all",), {END: WRONG}),
    ("mail.us.test", ("v=spf1 -all",), {HOST_SPF: WRONG}),
    ("mail.us.test", ("v=spf1 a -all", "v=spf1 mx -all"), {HOST_SPF: WRONG}),
    ("_dmarc.us.test", (), {DMARC: WRONG}),
    ("_dmarc.us.test", ("v=DMARC1; p=none", "v=DMARC1; p=reject"), {DMARC: WRONG}),
    ("_dmarc.us.test", ("v=DMARC1; p=nonsense",), {DMARC: WRONG}),
    ("_dmarc.us.test", (POLICY.format("nobody@us.test"),), {REPORTS: WRONG}),
    ("_dmarc.us.test", (POLICY.format("a@reports.far.test"),), {ALLOWED: WRONG}),
    ("_smtp._tls.us.test", ("v=TLSRPTv1; rua=mailto:a@us.test", "v=TLSRPTv1; rua=mailto:b@us.test"), {TLS: WRONG}),
    ("_smtp._tls.us.test", ("v=TLSRPTv1;",), {TLS: WRONG}),
    ("KEY", (), {"KEY": WRONG}),
    ("KEY", ("v=DKIM1; k=rsa; p=",), {"KEY": WRONG}),
    ("KEY", ("v=DKIM1; k=rsa; p=AAAA", "v=DKIM1; k=rsa; p=BBBB"), {"KEY": WRONG}),
]


@pytest.mark.parametrize(("name", "texts", "rows"), TEXTS)
def test_a_record_that_is_wrong(network: Network, name: str, texts: Sequence[str], rows: Rows) -> None:
    zone = network.zone()
    name = name.replace("KEY", f"{network.selector}._domainkey.us.test")
    key = f"DKIM key {network.selector} of us.test"
    zone.txt[name] = texts
    assert network.found(zone) == {subject.replace("KEY", key): state for subject, state in rows.items()}


NAMES: list[tuple[str, dict[str, object], Rows]] = [
    ("no MX", {"mx": {}}, {MX: WRONG, SPF: WRONG}),
    ("MX of another host", {"mx": {"us.test": [(10, "mx.far.test")]}}, {MX: WRONG, SPF: WRONG}),
    ("no reverse name", {"pointer": ""}, {POINTER: WRONG}),
    ("another reverse name", {"pointer": "host-1.far.test"}, {POINTER: WRONG}),
    ("no address", {"addresses": {"mx.far.test": FAR}}, {HELO: WRONG, SPF: WRONG, HOST_SPF: WRONG}),
    (
        "another address",
        {"addresses": {"mail.us.test": "198.51.100.9", "mx.far.test": FAR}},
        {HELO: WRONG, SPF: WRONG, HOST_SPF: WRONG},
    ),
    (
        "a backup MX without an address",
        {"mx": {"us.test": [(10, "mail.us.test"), (20, "gone.test")]}},
        {"backup MX gone.test of us.test": WRONG},
    ),
    (
        "a backup MX without a server",
        {
            "mx": {"us.test": [(10, "mail.us.test"), (20, "mx2.far.test")]},
            "addresses": {"mail.us.test": US, "mx.far.test": FAR, "mx2.far.test": BACKUP},
        },
        {"backup MX mx2.far.test of us.test": WRONG},
    ),
    (
        "our address in a block list",
        {"addresses": {"mail.us.test": US, "mx.far.test": FAR, f"1.2.0.192.{LIST}": "127.0.0.2"}},
        {LISTED: WRONG},
    ),
    (
        "a block list that refuses to answer",
        {"addresses": {"mail.us.test": US, "mx.far.test": FAR, f"1.2.0.192.{LIST}": "127.255.255.254"}},
        {LISTED: UNKNOWN},
    ),
    (
        "a host of others that is closed",
        {"addresses": {"mail.us.test": US, "mx.far.test": BACKUP}},
        {"port 25 out": WRONG},
    ),
]


@pytest.mark.parametrize(("change", "rows"), [each[1:] for each in NAMES], ids=[each[0] for each in NAMES])
def test_a_name_that_is_wrong(network: Network, change: dict[str, object], rows: Rows) -> None:
    assert network.found(replace(network.zone(), **change)) == rows  # type: ignore[arg-type]


FAILING: list[tuple[str, set[str]]] = [
    ("_dmarc.us.test", {DMARC}),
    ("_smtp._tls.us.test", {TLS}),
    ("_domainkey.us.test", {"KEY"}),
    ("2.0.192.in-addr.arpa", {POINTER}),
    ("mail.us.test", {HELO, SPF, HOST_SPF}),
    (LIST, {LISTED}),
    ("far.test", {"port 25 out"}),
    ("us.test", {"resolver", HELO, MX, SPF, HOST_SPF, "KEY", DMARC, TLS}),
]


@pytest.mark.parametrize(("name", "subjects"), FAILING)
def test_a_name_that_cannot_be_asked_is_not_wrong(network: Network, name: str, subjects: set[str]) -> None:
    zone = network.zone()
    found = network.found(replace(zone, failing=(name,)))
    key = f"DKIM key {network.selector} of us.test"
    assert found == dict.fromkeys({key if each == "KEY" else each for each in subjects}, UNKNOWN)


def test_without_any_name_server_nothing_of_dns_is_wrong(network: Network) -> None:
    config = load(network.server.file)
    rows = examine(examination_of(config, stored_keys(config), lists=[LIST]))
    assert not [each for each in rows if each.state is WRONG]
    assert len([each for each in rows if each.state is UNKNOWN]) >= 10


@contextmanager
def kept(*paths: Path) -> Iterator[None]:
    """Put files back as they were, with their times and modes."""
    copies = [(path, path.with_name(path.name + ".kept")) for path in paths]
    for path, copy in copies:
        shutil.copy2(path, copy)
        owner = path.stat()
        os.chown(copy, owner.st_uid, owner.st_gid)
    try:
        yield
    finally:
        for path, copy in copies:
            copy.replace(path)


def test_files_that_are_wrong(network: Network) -> None:
    zone, folder = network.zone(), network.server.folder
    certificate, private = folder / "tls" / "certificate.pem", folder / "tls" / "key.pem"
    with kept(certificate, private):
        put_pair(certificate, private, "other.test")
        assert network.found(zone) == {"certificate name": WRONG}
    with kept(certificate):
        certificate.write_text("nonsense")
        assert network.found(zone) == {"certificate": WRONG}
    pem = folder / "dkim" / "us.test" / f"{network.selector}.pem"
    with kept(pem):
        pem.chmod(0o644)
        assert network.found(zone) == {"key files of us.test": WRONG}
    with kept(folder / "users"):
        (folder / "users").write_text("nonsense\n")
        assert network.found(zone)["accounts"] is WRONG
    with kept(pem.with_name("state.json")):
        pem.with_name("state.json").write_text("{")
        assert network.found(zone) == {"DKIM of us.test": WRONG}


def test_a_certificate_that_no_authority_has(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", os.devnull)
    assert network.found(network.zone()) == {"certificate chain": WRONG}


def test_mail_that_waits(network: Network) -> None:
    zone, config = network.zone(), load(network.server.file)
    spool, now = Spool(config.server.spool_folder), time.time()
    for when, hold, subject in ((now, Hold(), "held messages"), (now - 6 * 86_400, None, "queue")):
        with spool.draft(new_queue_id(when)) as draft:
            draft.write(b"Subject: x\n\n")
            queue_id = draft.commit(Envelope("a@us.test", (Recipient("b@far.test"),)), now + 86_400, hold)
        assert network.found(zone) == {subject: WRONG}
        spool.delete(queue_id)
    note_backup(config.server.spool_folder, now - 9 * 86_400)
    assert network.found(zone) == {"last backup": WRONG}
    note_backup(config.server.spool_folder, now)


def test_options_that_are_wrong(network: Network) -> None:
    zone = network.zone()
    with network.options("server", public_addresses="10.0.0.5"):
        assert network.found(zone)["own address 10.0.0.5"] is WRONG
    with network.options("basic", helo_name="mail.lan"):
        assert network.found(zone)["name in HELO"] is WRONG
    with network.options("filter", blocklists="dead.test"):
        assert network.found(zone) == {"list dead.test": WRONG}
    with network.options("milter dead", address="127.0.0.1:9"):
        assert network.found(zone) == {"milter dead": WRONG}
    with network.options("basic", min_free_space="1000T"):
        assert {state for name, state in network.found(zone).items() if name.startswith("disk of")} == {WRONG}


def test_with_a_relay_the_own_address_is_not_used(network: Network) -> None:
    zone = replace(network.zone(), pointer="")
    zone.txt["us.test"] = ("v=spf1 include:relay.test ~all",)
    zone.txt["relay.test"] = ("v=spf1 ip4:198.51.100.50 -all",)
    with network.options("remote", relay_hosts="smtp.relay.test", relay_always="yes"):
        assert network.found(zone) == {}


def test_the_server_itself(network: Network) -> None:
    """The last of all: it stops the server."""
    zone, server = network.zone(), network.server
    text = server.file.read_text()
    server.file.write_text(f"{text}# a comment\n")
    assert network.found(zone) == {"server": WRONG}
    server.file.write_text(text)
    assert network.found(zone) == {}
    server.stop()
    try:
        assert network.found(zone) == {"server": WRONG}
    finally:
        server.start()

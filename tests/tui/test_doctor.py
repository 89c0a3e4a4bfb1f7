"""The doctor and Signing & DNS: three states with advice, a key and its record, copied through the terminal."""

import base64
import gzip
import os
import re
import socket
from pathlib import Path

import pytest

from smtpd_classic.accounts import Accounts
from smtpd_classic.config import load
from smtpd_classic.doctor import CheckResult, CheckState
from smtpd_classic.keys.store import RETIRED, KeyStore
from tests.client.fake_host import own_ip
from tests.mailauth.test_aggregate_report import document, message
from tests.tui.program import CONFIG, Tui, made
from tests.tui.terminal import Terminal
from tui.diagnosis.doctor_screen import _records


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A server whose name server does not answer: no test depends on the DNS of its machine."""
    closed = own_ip()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind((closed, 0))
        port = free.getsockname()[1]
    return made(tmp_path, CONFIG.replace("run_folder", f"user = nobody\nname_servers = {closed}:{port}\nrun_folder"))


def keys(path: Path) -> KeyStore:
    return KeyStore(str(path.parent / "dkim"))


@pytest.mark.parametrize("size", [(80, 24), (60, 20)], ids=lambda size: f"{size[0]}x{size[1]}")
def test_the_doctor_shows_three_states_with_advice(path: Path, size: tuple[int, int]) -> None:
    with Terminal(path, size=size) as terminal:
        terminal.shows("smtpd-classic ›").press("meta p", "meta p")
        terminal.shows("› Doctor").press("enter", "f2")
        terminal.shows("✗ server", "it does not run", " wrong, ", "could not be asked", "as of", timeout_s=60)
        terminal.shows("Start it:").press("end").shows("✓").press("home")
        terminal.press("enter").shows("→ Start it:").press("enter").shows("› Status")


def test_a_finding_leads_to_its_screen(path: Path) -> None:
    tui = Tui(path).go("Doctor").choose("Examine")
    assert "could not be asked" in tui.text
    assert "✗ server" in tui.text
    assert "DKIM of example.org" in tui.text
    tui.press("up")
    for _ in range(30):
        if "dkim add" in tui.text:
            break
        tui.press("down")
    tui.press("enter").choose("Go there")
    assert tui.shell.current == "Signing & DNS"


@pytest.mark.parametrize("kind", ["MX", "SPF", "DMARC"])
def test_the_record_that_a_finding_asks_for_is_offered(path: Path, kind: str) -> None:
    config = load(path)
    (record,) = _records(config, CheckResult(CheckState.WRONG, f"{kind} of example.org", "there is none", ""))
    assert record.name.endswith("example.org")
    assert _records(config, CheckResult(CheckState.GOOD, f"{kind} of example.org", "as it should be", "")) == []
    assert _records(config, CheckResult(CheckState.WRONG, "server", "it does not run", "")) == []


def test_a_key_is_made_and_its_record_copied(path: Path) -> None:
    tui = Tui(path).go("Signing & DNS")
    copied: list[str] = []
    tui.shell.write_clipboard = copied.append
    assert "No DKIM key yet" in tui.text
    tui.choose("Make a key").to("OK").press("enter")
    (key,) = keys(path).keys("example.org")
    assert f"{key.selector}._domainkey.example.org" in tui.dialog_text
    assert "Publish its record" in tui.dialog_text
    tui.choose("Copy the record")
    assert copied[0].count(f"{key.dns_name}. 3600 IN TXT") == 1
    tui.press("esc")
    assert f"{key.selector}" in tui.text
    tui.choose("DNS records")
    assert f"– {key.dns_name} TXT" in tui.dialog_text
    tui.choose("Copy all")
    assert "v=DMARC1" in copied[1]


def test_a_key_is_used_only_when_dns_shows_it_and_retired_when_asked(path: Path) -> None:
    keys(path).add("example.org", "ed25519", 1.0)
    tui = Tui(path).go("Signing & DNS").press("end").press("enter")
    assert "DNS does not show it yet" in tui.dialog_text
    tui.choose("Sign with it now")
    assert "Not used: DNS could not be asked" in tui.status_line
    tui.press("enter").choose("Retire")
    assert "leaves without a signature" in tui.dialog_text
    tui.choose("Retire")
    assert [key.state for key in keys(path).keys("example.org")] == [RETIRED]


def test_dmarc_reports_are_shown_by_source(path: Path) -> None:
    tui = Tui(path).go("Signing & DNS")
    now = int(tui.shell.context.clock())
    text = document(("192.0.2.1", 90, "pass", "fail"), ("198.51.100.2", 8, "fail", "fail"), begin=now - 86_400)
    accounts = Accounts(load(path))
    box = accounts.account("dmarc-reports@example.org")
    assert box is not None
    new = Path(box.folder) / "new"
    new.mkdir(parents=True)
    (new / "report").write_bytes(message(gzip.compress(text.encode())))
    os.utime(new / "report", (now, now))
    tui.choose("Reports")
    assert "Reports of Big, " in tui.dialog_text
    assert "90 of 98 messages passed DMARC." in tui.dialog_text
    assert "192.0.2.1 90 0 90 0" in tui.dialog_text
    assert "198.51.100.2 0 8 0 0" in tui.dialog_text
    tui.press("esc")
    (new / "report").unlink()
    tui.press("meta v")
    assert "No reports have arrived within 30 days." in tui.dialog_text


def test_a_copy_reaches_the_terminal(path: Path) -> None:
    keys(path).add("example.org", "ed25519", 1.0)
    with Terminal(path) as terminal:
        terminal.shows("smtpd-classic ›").press("f7").shows("Find").press("tls reports", "enter")
        terminal.shows("(tls_reports_to)").press("down").shows("DKIM key").press("enter").shows("Copy the record")
        terminal.press("enter").shows("Copied")
        found = re.search(rb"\x1b\]52;c;([^\x07]+)\x07", terminal.raw)
        assert found is not None
        assert b"_domainkey.example.org. 3600 IN TXT" in base64.b64decode(found[1])

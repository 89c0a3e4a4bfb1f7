"""The certificate that the server makes for itself: read by OpenSSL, and renewed in time."""

import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from smtpd_classic.accounts import Accounts
from smtpd_classic.config import parse
from smtpd_classic.daemon.certificates import CertificateWatch, provide_certificate
from smtpd_classic.dns import FixedResolver
from smtpd_classic.log import Log
from smtpd_classic.mailstore.store import MailStore
from smtpd_classic.runtime import Runtime
from smtpd_classic.server.certificate import expiry
from smtpd_classic.server.self_signed import RENEW_DAYS, is_self_made, renew_self_signed, signs_itself
from smtpd_classic.server.tls import CertificateProblem, problem_with
from smtpd_classic.services import Services
from spool import Spool
from tests.client.world import Clock
from tests.server.certificates import make_pair
from tests.server.serving import text_of
from tests.tools import need

DAY_S = 86400.0


def openssl(*words: str | Path) -> str:
    done = subprocess.run([need("openssl"), *words], check=True, capture_output=True, text=True)
    return done.stdout


def foreign_pair(folder: Path, days: int = 10) -> tuple[Path, Path]:
    """One that an administrator has made; it signs itself too."""
    certificate, key = folder / "own.pem", folder / "own-key.pem"
    more = ("-nodes", "-days", str(days), "-subj", "/CN=test.example", "-out", certificate, "-keyout", key)
    openssl("req", "-x509", "-newkey", "rsa:2048", *more)
    return certificate, key


def test_it_is_no_authority_and_short_lived(tmp_path: Path) -> None:
    certificate, key = make_pair(tmp_path)
    text = openssl("x509", "-in", certificate, "-noout", "-text")
    assert "CA:FALSE" in text
    assert "CA:TRUE" not in text
    assert "Certificate Sign" not in text
    assert "DNS:test.example, IP Address:127.0.0.1, IP Address:0:0:0:0:0:0:0:1" in text
    assert "TLS Web Server Authentication" in text
    assert openssl("verify", "-CAfile", certificate, "-purpose", "sslserver", certificate).strip().endswith(": OK")
    start, end = openssl("x509", "-in", certificate, "-noout", "-startdate", "-enddate").splitlines()
    assert start.startswith("notBefore=")
    assert end.startswith("notAfter=")
    assert problem_with(str(certificate), str(key)) == ""
    assert signs_itself(str(certificate))


def test_it_names_international_domains(tmp_path: Path) -> None:
    certificate, _ = make_pair(tmp_path, "bücher.example", "10.0.0.1")
    assert "DNS:xn--bcher-kva.example, IP Address:10.0.0.1" in openssl("x509", "-in", certificate, "-noout", "-text")


def test_it_is_renewed_thirty_days_before_its_end(tmp_path: Path) -> None:
    certificate, key = make_pair(tmp_path, "test.example", "::1")
    before, key_before = certificate.read_text(), key.read_bytes()
    end = expiry(before)
    assert not renew_self_signed(str(certificate), str(key), end - (RENEW_DAYS + 1) * DAY_S)
    assert certificate.read_text() == before
    due = end - (RENEW_DAYS - 1) * DAY_S
    assert renew_self_signed(str(certificate), str(key), due)
    assert expiry(certificate.read_text()) == pytest.approx(due + 820 * DAY_S, abs=2 * 3600)
    assert key.read_bytes() == key_before
    assert "DNS:test.example, IP Address:0:0:0:0:0:0:0:1" in openssl("x509", "-in", certificate, "-noout", "-text")
    assert is_self_made(str(certificate))
    assert not renew_self_signed(str(certificate), str(key), due)
    assert sorted(os.listdir(tmp_path)) == ["certificate.pem", "key.pem"]


def test_it_is_renewed_after_its_end_too(tmp_path: Path) -> None:
    certificate, key = make_pair(tmp_path)
    assert renew_self_signed(str(certificate), str(key), expiry(certificate.read_text()) + 100 * DAY_S)


def test_a_certificate_of_the_administrator_is_never_replaced(tmp_path: Path) -> None:
    certificate, key = foreign_pair(tmp_path)
    before = certificate.read_bytes()
    assert signs_itself(str(certificate))
    assert not is_self_made(str(certificate))
    assert not renew_self_signed(str(certificate), str(key), expiry(certificate.read_text()))
    assert certificate.read_bytes() == before


def test_what_is_no_pair_is_left_alone(tmp_path: Path) -> None:
    certificate, key = make_pair(tmp_path)
    late = expiry(certificate.read_text())
    key.write_text("no key")
    assert not renew_self_signed(str(certificate), str(key), late)
    assert not renew_self_signed(str(tmp_path / "none"), str(key), late)


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    certificate, key = make_pair(tmp_path)
    late = expiry(certificate.read_text())
    key.unlink()
    with pytest.raises(CertificateProblem, match=r"expires soon and cannot be renewed: No such file"):
        renew_self_signed(str(certificate), str(key), late)


def test_a_start_makes_the_pair_and_a_later_one_renews_it(tmp_path: Path) -> None:
    listener = "[listener smtp]\naddress = 127.0.0.1\nport = 1\n"
    config = parse(text_of(tmp_path, listener), tmp_path / "smtpd-classic.conf")
    certificate = tmp_path / "tls/certificate.pem"
    provide_certificate(config, None, 0.0)
    made = certificate.read_text()
    provide_certificate(config, None, expiry(made) - 40 * DAY_S)
    assert certificate.read_text() == made
    provide_certificate(config, None, expiry(made) - 20 * DAY_S)
    assert certificate.read_text() != made


# The watch of the running server -------------------------------------------------------------------------------------


class Watched:
    """A watch over a pair in a folder, with a clock of the test."""

    def __init__(self, folder: Path) -> None:
        self.config = parse(text_of(folder, "[listener smtp]\naddress = 127.0.0.1\nport = 1\n"), folder / "a.conf")
        provide_certificate(self.config, None, 0.0)
        self.certificate = folder / "tls/certificate.pem"
        self.log_file = folder / "log"
        self.clock = Clock(expiry(self.certificate.read_text()))
        self.services = Services(
            config=self.config,
            accounts=Accounts(self.config),
            dns=FixedResolver({}, {}),
            runtime=Runtime(str(folder / "run")),
            spool=Spool(str(folder / "spool")),
            mail_store=MailStore(str(folder / "mail"), "test.example"),
            log=Log(str(self.log_file)),
            clock=self.clock,
        )
        self.watch = CertificateWatch(self.services)

    def logged(self) -> list[str]:
        text = self.log_file.read_text() if self.log_file.exists() else ""
        return [line.split(": ", 1)[1] for line in text.splitlines()]


def test_the_watch_renews_once_when_it_is_due_and_logs_it(tmp_path: Path) -> None:
    watched = Watched(tmp_path)
    made = watched.certificate.read_text()
    watched.clock.now -= 40 * DAY_S
    watched.watch.step()
    assert watched.certificate.read_text() == made
    assert watched.logged() == []
    watched.clock.now += 20 * DAY_S
    watched.watch.step()
    renewed = watched.certificate.read_text()
    assert renewed != made
    watched.watch.step()
    assert watched.certificate.read_text() == renewed
    assert watched.logged() == [f"the self-signed certificate in {watched.certificate} has been renewed"]


def test_the_watch_logs_a_failure_once_and_tries_again(tmp_path: Path) -> None:
    watched = Watched(tmp_path)
    key = tmp_path / "tls/key.pem"
    kept = key.read_bytes()
    key.unlink()
    for _ in range(3):
        watched.watch.step()
    assert len(watched.logged()) == 1
    assert "expires soon and cannot be renewed: No such file" in watched.logged()[0]
    key.write_bytes(kept)
    watched.watch.step()
    assert watched.logged()[1:] == [f"the self-signed certificate in {watched.certificate} has been renewed"]


def test_the_watch_leaves_the_pair_of_a_server_without_tls_alone(tmp_path: Path) -> None:
    watched = Watched(tmp_path)
    made = watched.certificate.read_text()
    config = parse(watched_text(tmp_path), tmp_path / "a.conf")
    CertificateWatch(replace(watched.services, config=config)).step()
    assert watched.certificate.read_text() == made


def watched_text(folder: Path) -> str:
    return text_of(folder, "[listener smtp]\naddress = 127.0.0.1\nport = 1\n[basic]\nallow_tls = no\n")

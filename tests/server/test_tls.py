"""TLS over real sockets: STARTTLS, implicit, a certificate that changes, and pairs that cannot be used."""

import os
import shutil
import socket
import ssl
import subprocess
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from smtpd_classic.config import parse
from smtpd_classic.server.certificate import expiry
from smtpd_classic.server.suites import suites_of
from smtpd_classic.server.tls import Certificate, CertificateProblem, days_left, problem_with
from tests.server.certificates import client_context, make_pair
from tests.server.daemons import daemon
from tests.server.serving import Dialog, Place, place, text_of
from tests.tools import need
from tests.waiting import until

LISTENERS = """\
[listener smtp]
address = 127.0.0.1
port = 1
tls = starttls
[listener smtps]
address = 127.0.0.1
port = 2
tls = implicit
"""
# Those of RFC 5246 and OpenSSL's names: a suite for each kind of client.
ECDHE_AEAD, DHE_AEAD, ECDHE_CBC = "ECDHE-RSA-AES128-GCM-SHA256", "DHE-RSA-AES256-GCM-SHA384", "ECDHE-RSA-AES128-SHA"
DHE_CBC, RSA_CBC = "DHE-RSA-AES128-SHA", "AES128-SHA"


@contextmanager
def with_tls(folder: Path, access: str = "", listeners: str = LISTENERS) -> Iterator[Place]:
    make_pair(folder / "tls")
    complaints: list[str] = []
    paths = str(folder / "tls/certificate.pem"), str(folder / "tls/key.pem")
    config = parse(text_of(folder, listeners), folder / "smtpd-classic.conf")
    certificate = Certificate(*paths, complaints.append, map(suites_of, config.listeners))
    with place(folder, listeners, certificate=certificate, access=access) as found:
        yield found


def encrypt(dialog: Dialog, context: ssl.SSLContext) -> ssl.SSLSocket:
    encrypted = context.wrap_socket(dialog.socket, server_hostname="test.example")
    dialog.socket = encrypted
    return encrypted


def dial_encrypted(found: Place, folder: Path) -> Dialog:
    dialog = found.dial("smtps")
    encrypt(dialog, client_context(folder / "tls/certificate.pem"))
    return dialog


def test_starttls(tmp_path: Path) -> None:
    with with_tls(tmp_path) as found, found.dial() as dialog:
        dialog.reply()
        assert "250-STARTTLS" in dialog.ask("EHLO client.example").splitlines()
        assert dialog.ask("STARTTLS").startswith("220 ")
        encrypted = encrypt(dialog, client_context(tmp_path / "tls/certificate.pem"))
        assert encrypted.version() == "TLSv1.3"
        assert "STARTTLS" not in dialog.ask("EHLO client.example")
        assert found.sessions[0].session.tls is not None
        assert found.sessions[0].session.tls.version == "TLSv1.3"
        assert dialog.ask("QUIT").startswith("221")
        assert found.ended() == ["quit"]


def test_a_stranger_that_pipelines_behind_starttls_is_refused_and_closed(tmp_path: Path) -> None:
    with with_tls(tmp_path) as found, found.dial() as dialog:
        dialog.reply()
        dialog.ask("EHLO client.example")
        dialog.send(b"STARTTLS\r\nNOOP\r\n")
        assert dialog.reply().startswith("554 5.5.0")
        assert dialog.ended()
        assert found.ended() == ["pipelined too far"]


def test_tls_from_the_first_octet(tmp_path: Path) -> None:
    with with_tls(tmp_path) as found, dial_encrypted(found, tmp_path) as dialog:
        assert dialog.reply().startswith("220")
        assert "STARTTLS" not in dialog.ask("EHLO client.example")
        assert dialog.ask("QUIT").startswith("221")
        assert dialog.ended()


def test_the_end_of_a_session_under_tls_is_no_truncation(tmp_path: Path) -> None:
    """Without a close_notify a client could not tell our end from somebody cutting the line."""
    with with_tls(tmp_path) as found:
        raw = socket.create_connection(("127.0.0.1", found.ports["smtps"]), 10)
        context = client_context(tmp_path / "tls/certificate.pem")
        with context.wrap_socket(raw, server_hostname="test.example", suppress_ragged_eofs=False) as encrypted:
            encrypted.sendall(b"QUIT\r\n") if encrypted.recv(100).startswith(b"220") else None
            assert encrypted.recv(100).startswith(b"221")
            assert encrypted.recv(100) == b""


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_versions_that_are_spoken(tmp_path: Path, version: ssl.TLSVersion) -> None:
    with with_tls(tmp_path) as found, found.dial("smtps") as dialog:
        context = client_context(tmp_path / "tls/certificate.pem")
        context.minimum_version = context.maximum_version = version
        encrypt(dialog, context)
        assert dialog.reply().startswith("220")


def listening(**options: str) -> str:
    lines = "".join(f"{name} = {value}\n" for name, value in options.items())
    return f"[listener smtp]\naddress = 127.0.0.1\nport = 1\n{lines}"


def shake_hands(found: Place, folder: Path, ciphers: str, version: ssl.TLSVersion) -> str:
    """Return the cipher that server and client agree on; blank for none."""
    context = client_context(folder / "tls/certificate.pem")
    context.set_ciphers(f"{ciphers}:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = context.maximum_version = version
    with found.dial() as dialog:
        if found.receiver.terms.config.listeners[0].tls == "starttls":
            dialog.reply()
            dialog.ask("EHLO client.example")
            dialog.ask("STARTTLS")
        try:
            return (encrypt(dialog, context).cipher() or ("",))[0]
        except (ssl.SSLError, ConnectionResetError):
            return ""


def taken_of(found: Place, folder: Path, *ciphers: str) -> list[str]:
    return [each for each in ciphers if shake_hands(found, folder, each, ssl.TLSVersion.TLSv1_2) == each]


ALL = (ECDHE_AEAD, DHE_AEAD, ECDHE_CBC, DHE_CBC, RSA_CBC)


@pytest.mark.parametrize(
    ("options", "taken"),
    [
        ({"tls_ciphers": "modern"}, [ECDHE_AEAD]),
        ({}, [ECDHE_AEAD, DHE_AEAD, ECDHE_CBC]),
        ({"auth": "offered"}, [ECDHE_AEAD, DHE_AEAD, ECDHE_CBC]),
        ({"auth": "required"}, [ECDHE_AEAD, DHE_AEAD]),
        ({"tls": "implicit"}, [ECDHE_AEAD, DHE_AEAD]),
        ({"tls": "implicit", "tls_ciphers": "old"}, list(ALL)),
    ],
)
def test_the_ciphers_of_a_listener(tmp_path: Path, options: dict[str, str], taken: list[str]) -> None:
    with with_tls(tmp_path, listeners=listening(**options)) as found:
        assert taken_of(found, tmp_path, *ALL) == taken


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
@pytest.mark.parametrize(("ciphers", "spoken"), [("old", True), ("intermediate", False), ("modern", False)])
def test_old_versions_are_spoken_with_old_only(
    tmp_path: Path, version: ssl.TLSVersion, ciphers: str, spoken: bool
) -> None:
    with with_tls(tmp_path, listeners=listening(tls_ciphers=ciphers)) as found:
        assert bool(shake_hands(found, tmp_path, "ALL", version)) is spoken
        if not spoken:
            until(lambda: "SSL_accept error from localhost[127.0.0.1]" in found.log())


def test_no_cipher_without_authentication_or_encryption(tmp_path: Path) -> None:
    with with_tls(tmp_path, listeners=listening(tls_ciphers="old")) as found:
        assert taken_of(found, tmp_path, "ADH-AES128-SHA", "AECDH-AES128-SHA", "NULL-SHA", "ECDHE-RSA-NULL-SHA") == []


def test_listeners_of_one_server_have_ciphers_of_their_own(tmp_path: Path) -> None:
    more = listening(tls_ciphers="old", tls="implicit").replace("smtp]", "printers]").replace("port = 1", "port = 2")
    with with_tls(tmp_path, listeners=listening(tls_ciphers="modern") + more) as found:
        assert taken_of(found, tmp_path, RSA_CBC) == []
        context = client_context(tmp_path / "tls/certificate.pem")
        context.set_ciphers(RSA_CBC)
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        with found.dial("printers") as dialog:
            assert (encrypt(dialog, context).cipher() or ("",))[0] == RSA_CBC


def test_a_handshake_that_never_ends_is_cut(tmp_path: Path) -> None:
    with with_tls(tmp_path, access="idle_timeout = 1s") as found, found.dial("smtps") as dialog:
        dialog.send(b"\x16\x03\x01")
        assert dialog.ended()
        until(lambda: "SSL_accept error from localhost[127.0.0.1]: timeout" in found.log())
        until(lambda: found.receiver.connections == 0)


def test_silence_under_tls_ends_a_session(tmp_path: Path) -> None:
    with with_tls(tmp_path, access="idle_timeout = 1s") as found, dial_encrypted(found, tmp_path) as dialog:
        dialog.reply()
        assert dialog.reply().startswith("421 4.4.2")
        assert found.ended() == ["timeout"]


def test_a_client_that_never_pauses_is_cut_at_the_deadline(tmp_path: Path) -> None:
    """The time may be over before the next octet is waited for."""
    with with_tls(tmp_path, access="message_timeout = 1s") as found, dial_encrypted(found, tmp_path) as dialog:
        dialog.reply()
        dialog.ask("EHLO client.example")
        dialog.ask("MAIL FROM:<a@client.example>")
        dialog.ask("RCPT TO:<b@test.example>")
        assert dialog.ask("DATA").startswith("354")
        with suppress(OSError):
            while found.sessions[0].reason is None:
                dialog.send(b"x" * 998 + b"\r\n")
        assert found.ended() == ["timeout"]


def test_garbage_instead_of_a_handshake_is_one_line_in_the_log(tmp_path: Path) -> None:
    with with_tls(tmp_path) as found, found.dial("smtps") as dialog:
        dialog.send(b"EHLO in.the.clear\r\n")
        until(lambda: "SSL_accept error" in found.log())
        assert len([line for line in found.log().splitlines() if "SSL" in line]) == 1
        assert "Traceback" not in found.log()


def test_a_changed_certificate_is_used_without_a_restart(tmp_path: Path) -> None:
    with with_tls(tmp_path) as found, dial_encrypted(found, tmp_path) as dialog:
        assert dialog.reply().startswith("220")
        make_pair(tmp_path / "new", number=1)
        for name in ("key.pem", "certificate.pem"):
            shutil.copy(tmp_path / "new" / name, tmp_path / "tls" / (name + ".new"))
            os.rename(tmp_path / "tls" / (name + ".new"), tmp_path / "tls" / name)
        new = ssl.PEM_cert_to_DER_cert((tmp_path / "new/certificate.pem").read_text())
        until(lambda: _served(found) == new)
        assert dialog.ask("NOOP").startswith("250")  # the session that was there goes on


def _served(found: Place) -> bytes:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with found.dial("smtps") as dialog:
        encrypted = encrypt(dialog, context)
        return encrypted.getpeercert(binary_form=True) or b""


def test_a_broken_new_certificate_leaves_the_old_one_in_use(tmp_path: Path) -> None:
    certificate, key = make_pair(tmp_path)
    complaints: list[str] = []
    held = Certificate(str(certificate), str(key), complaints.append)
    before = held.context()
    certificate.write_text("nothing of the kind")
    until(lambda: held.context() and complaints)
    assert held.context() is before
    assert complaints == [f"{certificate} holds no certificate in PEM form. The certificate read before stays in use."]
    make_pair(tmp_path / "new", number=1)
    shutil.copy(tmp_path / "new/key.pem", key)
    shutil.copy(tmp_path / "new/certificate.pem", certificate)
    until(lambda: held.context() is not before)


def test_pairs_that_cannot_be_used(tmp_path: Path) -> None:
    certificate, key = make_pair(tmp_path)
    _, other = make_pair(tmp_path / "other", number=1)
    locked = tmp_path / "locked.pem"
    subprocess.run(
        [need("openssl"), "ec", "-in", key, "-aes128", "-passout", "pass:x", "-out", locked],
        check=True,
        capture_output=True,
    )
    for first, second, said in [
        (certificate, other, f"{other} is not the key of the certificate in {certificate}."),
        (certificate, certificate, f"{certificate} holds no private key in PEM form."),
        (key, key, f"{key} holds no certificate in PEM form."),
        (certificate, tmp_path / "none", f"{tmp_path}/none cannot be read: No such file or directory."),
        (tmp_path, key, f"{tmp_path} cannot be read: Is a directory."),
        (certificate, locked, f"{locked} is encrypted; write the key without a password."),
    ]:
        assert problem_with(str(first), str(second)) == said
        with pytest.raises(CertificateProblem) as caught:
            Certificate(str(first), str(second), lambda _: None)
        assert str(caught.value) == said


def test_a_key_that_everybody_can_read_is_told(tmp_path: Path) -> None:
    certificate, key = make_pair(tmp_path)
    assert key.stat().st_mode & 0o777 == 0o600
    assert problem_with(str(certificate), str(key)) == ""
    key.chmod(0o604)
    assert problem_with(str(certificate), str(key)).endswith(
        "can be read by every user of this machine; set its mode to 0600."
    )


def test_an_expired_certificate_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate, key = make_pair(tmp_path)
    end = expiry(certificate.read_text())
    monkeypatch.setattr(time, "time", lambda: end + 3.5 * 86400)
    assert days_left(str(certificate)) == -4
    assert problem_with(str(certificate), str(key)) == f"The certificate in {certificate} expired 4 days ago."


def test_the_days_left_are_those_that_openssl_reads(tmp_path: Path) -> None:
    certificate, _ = make_pair(tmp_path)
    said = subprocess.run(
        [need("openssl"), "x509", "-in", certificate, "-noout", "-enddate"], check=True, capture_output=True, text=True
    ).stdout
    assert expiry(certificate.read_text()) == ssl.cert_time_to_seconds(said.removeprefix("notAfter=").strip())
    assert days_left(str(certificate)) == 819


@pytest.mark.parametrize(
    "text", ["", "no certificate", "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"]
)
def test_no_days_are_left_of_what_is_no_certificate(tmp_path: Path, text: str) -> None:
    path = tmp_path / "c.pem"
    path.write_text(text)
    assert days_left(str(path)) is None
    assert days_left(str(tmp_path / "none")) is None


def test_the_example_for_openssl_leaves_the_three_groups() -> None:
    example = Path(__file__).parents[2] / "conf" / "examples" / "openssl-groups.cnf"
    with daemon(listener="tls = implicit", tls=True) as found:
        place = found.folder / example.name
        place.write_text(example.read_text())
        found.start("env", f"OPENSSL_CONF={place}")
        taken = [group for group in ("X25519", "P-256", "P-384", "P-521", "X448") if shakes_hands(found.port, group)]
    assert taken == ["X25519", "P-256", "P-384"]


def shakes_hands(port: int, group: str) -> bool:
    command = [need("openssl"), "s_client", "-connect", f"127.0.0.1:{port}", "-groups", group]
    return subprocess.run(command, input=b"", capture_output=True, timeout=60).returncode == 0

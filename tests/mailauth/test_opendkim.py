"""OpenDKIM as the other side: it verifies what is signed here, and what it signs is verified here."""

import re
import subprocess
import time
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from smtpd_classic.mailauth.dkim_sign import SigningKey, sign
from smtpd_classic.mailauth.words import ResultWord
from tests.mailauth.messages import ed25519_key, key_record, only, pem, rsa_key, verify
from tests.mailauth.test_dkim import BODIES, HEADERS
from tests.tools import need

NAME = "sel._domainkey.example.org"
LONG = {"1 MiB": b"0123456789 abcdef  0123456789\t abcdef \n" * 27_000}
ALL_BODIES = BODIES | LONG
PrivateKey = rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey


@pytest.fixture(params=["rsa", "ed25519"])
def private(request: pytest.FixtureRequest) -> PrivateKey:
    return rsa_key() if request.param == "rsa" else ed25519_key()


def opendkim(folder: Path, private: PrivateKey, message: bytes, *options: str) -> str:
    (folder / "keys").write_bytes(NAME.encode() + b" " + key_record(private) + b"\n")
    (folder / "conf").write_text(f"TestPublicKeys {folder}/keys\nSyslog no\n{''.join(options)}")
    (folder / "message").write_bytes(message.replace(b"\n", b"\r\n"))
    run = subprocess.run(
        [need("opendkim"), "-x", folder / "conf", "-b", "s" if options else "v", "-vv", "-t", folder / "message"],
        capture_output=True,
        timeout=60,
    )
    return (run.stdout + run.stderr).decode("utf-8", "surrogateescape")


@pytest.mark.parametrize("body", ALL_BODIES.values(), ids=ALL_BODIES)
@pytest.mark.parametrize("header", [HEADERS[name] for name in ("plain", "8-bit", "folded", "twice")])
def test_opendkim_verifies_what_we_sign(tmp_path: Path, private: PrivateKey, header: bytes, body: bytes) -> None:
    if not body.endswith(b"\n") and body:
        body += b"\n"
    header = header.replace(b"To: bob@example.net\nTo:", b"To:")
    field = sign(header, [body], [SigningKey("example.org", "sel", private)], now=int(time.time()))
    said = opendkim(tmp_path, private, field + header + b"\n" + body)
    assert "dkim=pass" in said, said


# A simple header cannot be tried: in its test mode OpenDKIM itself refuses then what it has signed.
@pytest.mark.parametrize("form", ["relaxed/simple", "relaxed/relaxed"])
@pytest.mark.parametrize("body", ALL_BODIES.values(), ids=ALL_BODIES)
def test_we_verify_what_opendkim_signs(tmp_path: Path, private: PrivateKey, form: str, body: bytes) -> None:
    if not body.endswith(b"\n") and body:
        body += b"\n"
    header = HEADERS["folded"]
    (tmp_path / "key").write_bytes(pem(private))
    algorithm = "ed25519-sha256" if isinstance(private, ed25519.Ed25519PrivateKey) else "rsa-sha256"
    options = (
        f"Domain example.org\nSelector sel\nKeyFile {tmp_path}/key\nCanonicalization {form}\n",
        f"SignatureAlgorithm {algorithm}\nRequireSafeKeys no\nInternalHosts 0.0.0.0/0\n",
    )
    said = opendkim(tmp_path, private, header + b"\n" + body, *options)
    found = re.search(r"hname='DKIM-Signature' hvalue='([^']*)'", said)
    assert found, said
    field = f"DKIM-Signature: {found[1]}\n".encode()
    assert only(verify(field + header + b"\n" + body, {NAME: (key_record(private),)})).word is ResultWord.PASS

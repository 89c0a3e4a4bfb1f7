"""rspamd as the judge, both ways: it verifies what is signed here, and what it signs is verified here."""

import json
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from smtpd_classic.mailauth.dkim_sign import SigningKey, sign
from smtpd_classic.mailauth.words import ResultWord
from tests.instance import free_port
from tests.mailauth.messages import ed25519_key, key_record, only, pem, rsa_key, verify
from tests.mailauth.test_dkim import HEADERS
from tests.mailauth.test_opendkim import ALL_BODIES, PrivateKey
from tests.test_dns import name_server
from tests.tools import need
from tests.waiting import until

pytestmark = pytest.mark.peers

_CONFIG = """\
options {{
  pidfile = "{folder}/pid";
  hs_cache_dir = "{folder}";
  url_tld = "{folder}/tld";
  filters = "dkim";
  local_addrs = [];
  dns {{ nameserver = ["127.0.0.1:{dns}"]; timeout = 5s; }}
}}
logging {{ type = "file"; filename = "{folder}/log"; level = "info"; }}
worker "normal" {{ bind_socket = "127.0.0.1:{port}"; count = 1; }}
dkim {{ max_sigs = 5; }}
modules {{ path = "/usr/share/rspamd/plugins/dkim_signing.lua"; }}
lua = "/usr/share/rspamd/rules/rspamd.lua";
dkim_signing {{
  allow_username_mismatch = true;
  sign_local = true;
  use_esld = false;
  sign_networks = ["127.0.0.0/8"];
  domain {{
    example.org {{ selectors = [
      {{ path = "{folder}/rsa.pem"; selector = "rsa"; }},
      {{ path = "{folder}/ed25519.pem"; selector = "ed"; }}
    ] }}
  }}
}}
actions {{ reject = 1500; greylist = 1400; "add header" = 600; }}
"""
KEYS: dict[str, PrivateKey] = {"rsa": rsa_key(), "ed": ed25519_key()}
TXT = {f"{name}._domainkey.example.org": (key_record(key),) for name, key in KEYS.items()}


def _zone() -> list[str]:
    records: list[str] = []
    for name, (record,) in TXT.items():
        text = record.decode()
        pieces = ",".join(f'"{text[at : at + 250]}"' for at in range(0, len(text), 250))
        records.append(f"txt-record={name},{pieces}")
    return records


class Rspamd:
    """A running rspamd; `ask` returns its answer about a message."""

    def __init__(self, port: int) -> None:
        self._port = port

    def ask(self, message: bytes, ip: str, **more: str) -> dict[str, Any]:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self._port}/checkv2",
            data=message.replace(b"\n", b"\r\n"),
            headers={"IP": ip, "From": "ann@example.org"} | more,
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            found: dict[str, Any] = json.load(answer)
        return found

    def answers(self) -> bool:
        try:
            return bool(self.ask(b"From: a@example.org\n\nx\n", "192.0.2.1"))
        except OSError:
            return False


@pytest.fixture(scope="module")
def rspamd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rspamd]:
    folder = tmp_path_factory.mktemp("rspamd")
    for name, key in (("rsa", rsa_key()), ("ed25519", ed25519_key())):
        (folder / f"{name}.pem").write_bytes(pem(key))
    process, dns = name_server(tmp_path_factory.mktemp("dns"), _zone())
    port = free_port()
    (folder / "tld").write_text("example\norg\n")  # the real list takes minutes to compile
    (folder / "conf").write_text(_CONFIG.format(folder=folder, dns=dns, port=port))
    judge = subprocess.Popen(
        [need("rspamd"), "-f", "--insecure", "-c", folder / "conf"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    found = Rspamd(port)
    try:
        until(found.answers, 240, (folder / "log").read_text)
        yield found
    finally:
        judge.terminate()
        judge.wait(60)
        process.terminate()
        process.wait(10)


def _whole(body: bytes) -> bytes:
    return body if body.endswith(b"\n") or not body else body + b"\n"


@pytest.mark.parametrize("name", KEYS)
@pytest.mark.parametrize("body", ALL_BODIES.values(), ids=ALL_BODIES)
@pytest.mark.parametrize("header", [HEADERS[name] for name in ("plain", "8-bit", "folded")])
def test_rspamd_verifies_what_we_sign(rspamd: Rspamd, name: str, header: bytes, body: bytes) -> None:
    body = _whole(body)
    field = sign(header, [body], [SigningKey("example.org", name, KEYS[name])], now=int(time.time()))
    symbols = rspamd.ask(field + header + b"\n" + body, "198.51.100.1")["symbols"]
    assert symbols.get("R_DKIM_ALLOW", {}).get("options") == [f"example.org:s={name}"], symbols


@pytest.mark.parametrize("body", ALL_BODIES.values(), ids=ALL_BODIES)
def test_we_verify_what_rspamd_signs(rspamd: Rspamd, body: bytes) -> None:
    header, body = HEADERS["folded"], _whole(body)
    found = rspamd.ask(header + b"\n" + body, "127.0.0.1", User="ann@example.org")["dkim-signature"]
    for value in [found] if isinstance(found, str) else found:
        field = b"DKIM-Signature: " + value.replace("\r\n", "\n").encode() + b"\n"
        assert only(verify(field + header + b"\n" + body, TXT, now=int(time.time()))).word is ResultWord.PASS

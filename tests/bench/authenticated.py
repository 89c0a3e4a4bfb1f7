"""This server with its own checks and signatures, and Postfix with those of OpenDKIM and OpenDMARC, or of rspamd.

Each that checks has taken one message before it is measured, and its field must say that all checks passed.
"""

import os
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path
from typing import ClassVar

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from smtpd_classic.config import load
from smtpd_classic.doctor.examination import stored_keys
from smtpd_classic.keys.store import IN_USE
from tests.bench.ours import Interpreted, Ours
from tests.bench.peer import DOMAIN, Peer
from tests.bench.postfix import Postfix
from tests.bench.workloads import CLIENT, Workload, commands, own_address
from tests.mailauth.messages import key_record, rsa_key
from tests.milter.programs import started
from tests.peers.name_server import name_server, resolving
from tests.waiting import until

__all__ = ["AUTHENTICATED"]

# At port 53, for OpenDMARC knows no other. The library of Unbound in OpenDKIM asks no name server at the loopback and
# denies names below `test`. A file that changes this ends OpenDKIM under load: several threads read it at once.
_DNS = own_address()
_DKIM = """\
Socket local:{place}/dkim
AuthservID mx.{domain}
InternalHosts file:{place}/hosts
ExternalIgnoreList file:{place}/hosts
UMask 000
Syslog no
"""
_RSPAMD = """\
options {{
  pidfile = "{place}/rspamd.pid";
  filters = "dkim";
  temp_dir = "{place}";
  url_tld = "{place}/suffixes";
  disable_hyperscan = true;
  local_addrs = [];
  dns {{ nameserver = ["{dns}"]; }}
}}
logging {{ type = "file"; filename = "{place}/rspamd.log"; level = "warning"; }}
modules {{
  path = "/usr/share/rspamd/plugins/spf.lua";
  path = "/usr/share/rspamd/plugins/dmarc.lua";
  path = "/usr/share/rspamd/plugins/milter_headers.lua";
}}
lua = "/usr/share/rspamd/rules/rspamd.lua";
lang_detection {{ languages = "{place}/none"; }}
actions {{ reject = 1500; greylist = 1400; "add header" = 600; }}
spf {{ check_local = true; }}
dkim {{ check_local = true; }}
dmarc {{ check_local = true; }}
milter_headers {{ use = ["authentication-results"]; skip_local = false; }}
worker "rspamd_proxy" {{
  bind_socket = "{place}/rspamd mode=0666";
  milter = yes;
  timeout = 20s;
  count = 2;
  upstream "local" {{ default = yes; self_scan = yes; }}
}}
"""
_DMARC = """\
Socket local:{place}/dmarc
AuthservID mx.{domain}
TrustedAuthservIDs mx.{domain}
IgnoreHosts {place}/hosts
SPFIgnoreResults true
SPFSelfValidate true
UMask 000
Syslog false
"""


def _zone() -> list[str]:
    key = key_record(rsa_key()).decode()
    pieces = ",".join(f'"{key[at : at + 250]}"' for at in range(0, len(key), 250))
    return [
        "local-ttl=3600",  # without it no answer may be kept, and each message asks DNS again
        f"local=/{CLIENT}/",
        f'txt-record={CLIENT},"v=spf1 ip4:127.0.0.1 -all"',
        f"txt-record=sel._domainkey.{CLIENT},{pieces}",
        f'txt-record=_dmarc.{CLIENT},"v=DMARC1; p=reject"',
    ]


_ONE = Workload("", "one message", 1, sessions=1, signed=True)


def _take_one(peer: Peer, mail: Path) -> None:
    """Send one message to a server that has just started, and read the results that it adds."""
    for command in commands(peer, _ONE):
        subprocess.run(command, check=True, capture_output=True)
    until(lambda: peer.delivered() == 1)
    (file,) = mail.rglob("new/*")
    header = file.read_text(encoding="utf-8").partition("\n\n")[0]
    assert {"dkim=pass", "spf=pass", "dmarc=pass"} <= set(header.split()), header


class _WithDns:
    """A name server that knows the client, in a folder beside that of the server."""

    def begin(self, folder: Path) -> Path:
        place = folder.with_name(f"{folder.name}-checks")
        place.mkdir(parents=True)
        os.chmod(place, 0o777)
        self._stack = ExitStack()
        self._stack.enter_context(name_server(place, {}, {}, _zone(), ip=_DNS))
        return place

    def end(self) -> None:
        self._stack.close()


class _OursChecking(_WithDns, Ours):
    can: ClassVar[frozenset[str]] = frozenset({"checks"})
    trusted = "192.0.2.99"

    def start(self, folder: Path, relay: int) -> None:
        self.begin(folder)
        super().start(folder, relay)
        _take_one(self, folder)

    def prepare(self) -> None:
        self.server.set("server", "name_servers", f"{_DNS}:53")
        self.server.set("authentication", "check", "yes")

    def stop(self) -> None:
        super().stop()
        self.end()


class _InterpretedChecking(_OursChecking):
    name = Interpreted.name
    share = Interpreted.share
    code = Interpreted.code


class _PostfixChecking(_WithDns, Postfix):
    can: ClassVar[frozenset[str]] = frozenset({"checks"})

    def start(self, folder: Path, relay: int) -> None:
        # The client is a stranger: Postfix is to add no fields, which would break the signature.
        self.more = f"local_header_rewrite_clients =\nsmtpd_milters = {self.filters(self.begin(folder))}\n"
        super().start(folder, relay)
        _take_one(self, folder / "mail")

    def filters(self, place: Path) -> str:
        """Start the milters; return their addresses."""
        (place / "hosts").write_text("203.0.113.255\n")
        mode = f"Mode v\nNameservers {_DNS}\n"
        (place / "dkim.conf").write_text(mode + _DKIM.format(place=place, domain=DOMAIN))
        (place / "dmarc.conf").write_text(_DMARC.format(place=place, domain=DOMAIN))
        for name, words in (("dkim", ("opendkim", "-f", "-x")), ("dmarc", ("opendmarc", "-f", "-c"))):
            command = [str(each) for each in resolving(place, *words, place / f"{name}.conf")]
            self._stack.enter_context(started(place / name, *command))
        return f"unix:{place}/dkim, unix:{place}/dmarc"

    def stop(self) -> None:
        super().stop()
        self.end()


class _PostfixRspamd(_PostfixChecking):
    name = "Postfix+rspamd"

    def filters(self, place: Path) -> str:
        (place / "rspamd.conf").write_text(_RSPAMD.format(place=place, dns=_DNS))
        (place / "suffixes").write_text("test\n")  # the whole list takes half a minute
        command = ("rspamd", "-f", "-i", "-c", str(place / "rspamd.conf"))
        log = place / "rspamd.log"
        self._stack.enter_context(started(place / "rspamd", *command, log=log, within_s=120))
        return f"unix:{place}/rspamd"


class _OursSigning(Ours):
    can: ClassVar[frozenset[str]] = frozenset({"signs"})

    def prepare(self) -> None:
        store = stored_keys(load(self.server.file))
        (key,) = store.keys(DOMAIN)
        store.set_state(key, IN_USE, time.time())


class _InterpretedSigning(_OursSigning):
    name = Interpreted.name
    share = Interpreted.share
    code = Interpreted.code


class _PostfixSigning(Postfix):
    can: ClassVar[frozenset[str]] = frozenset({"signs"})

    def start(self, folder: Path, relay: int) -> None:
        place = folder.with_name(f"{folder.name}-signs")
        place.mkdir(parents=True)
        os.chmod(place, 0o777)
        pem = rsa_key().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (place / "key").write_bytes(pem)
        (place / "key").chmod(0o600)
        (place / "hosts").write_text("127.0.0.1\n")
        mode = f"Mode s\nRequireSafeKeys no\nDomain {DOMAIN}\nSelector sel\nKeyFile {place}/key\n"
        mode += "Canonicalization relaxed/relaxed\n"
        (place / "dkim.conf").write_text(mode + _DKIM.format(place=place, domain=DOMAIN))
        self._stack = ExitStack()
        self._stack.enter_context(started(place / "dkim", "opendkim", "-f", "-x", place / "dkim.conf"))
        self.more = f"smtpd_milters = unix:{place}/dkim\n"
        super().start(folder, relay)

    def stop(self) -> None:
        super().stop()
        self._stack.close()


AUTHENTICATED = (
    _OursChecking,
    _InterpretedChecking,
    _PostfixChecking,
    _PostfixRspamd,
    _OursSigning,
    _InterpretedSigning,
    _PostfixSigning,
)

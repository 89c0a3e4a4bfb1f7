"""This server and Postfix with what checks or signs mail: OpenDKIM and OpenDMARC as milters, and our own checks."""

import os
import time
from contextlib import ExitStack
from pathlib import Path
from typing import ClassVar

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from smtpd_classic.config import load
from smtpd_classic.doctor.examination import stored_keys
from smtpd_classic.keys.store import IN_USE
from tests.bench.ours import Interpreted, Ours
from tests.bench.peer import DOMAIN
from tests.bench.postfix import Postfix
from tests.bench.workloads import CLIENT
from tests.mailauth.messages import key_record, rsa_key
from tests.milter.programs import started
from tests.peers.name_server import name_server, resolving

__all__ = ["AUTHENTICATED"]

_DNS = "127.0.9.53"  # at port 53: OpenDMARC knows no other
_DKIM = """\
Socket local:{place}/dkim
AuthservID mx.{domain}
InternalHosts file:{place}/hosts
ExternalIgnoreList file:{place}/hosts
ResolverConfiguration {place}/unbound.conf
UMask 000
Syslog no
"""
# The library of Unbound that OpenDKIM has denies `test` by itself, and asks no name server of this machine.
_UNBOUND = """\
server:
  local-zone: "test." nodefault
  do-not-query-localhost: no
  module-config: "iterator"
forward-zone:
  name: "."
  forward-addr: {dns}
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
        f'txt-record={CLIENT},"v=spf1 ip4:127.0.0.1 -all"',
        f"txt-record=sel._domainkey.{CLIENT},{pieces}",
        f'txt-record=_dmarc.{CLIENT},"v=DMARC1; p=reject"',
    ]


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
        place = self.begin(folder)
        (place / "hosts").write_text("203.0.113.255\n")
        (place / "unbound.conf").write_text(_UNBOUND.format(dns=_DNS))
        (place / "dkim.conf").write_text("Mode v\n" + _DKIM.format(place=place, domain=DOMAIN))
        (place / "dmarc.conf").write_text(_DMARC.format(place=place, domain=DOMAIN))
        for name, words in (("dkim", ("opendkim", "-f", "-x")), ("dmarc", ("opendmarc", "-f", "-c"))):
            command = [str(each) for each in resolving(place, *words, place / f"{name}.conf")]
            self._stack.enter_context(started(place / name, *command))
        self.more = f"smtpd_milters = unix:{place}/dkim, unix:{place}/dmarc\n"
        super().start(folder, relay)

    def stop(self) -> None:
        super().stop()
        self.end()


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
        (place / "unbound.conf").write_text(_UNBOUND.format(dns=_DNS))
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
    _OursSigning,
    _InterpretedSigning,
    _PostfixSigning,
)

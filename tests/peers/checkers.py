"""OpenDKIM and OpenDMARC in front of a Postfix: what a large provider does with mail of others."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.peers.name_server import resolving
from tests.tools import need
from tests.waiting import until

__all__ = ["MILTERS", "checkers"]

_DKIM_PORT, _DMARC_PORT = 8891, 8893
MILTERS = f"""smtpd_milters = inet:127.0.0.1:{_DKIM_PORT}, inet:127.0.0.1:{_DMARC_PORT}
milter_default_action = tempfail
milter_protocol = 6
"""
_DKIM = """\
Mode v
Socket inet:{port}@127.0.0.1
AuthservID mx.postfix.test
InternalHosts file:{folder}/nobody
ExternalIgnoreList file:{folder}/nobody
ResolverConfiguration {folder}/unbound.conf
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
  forward-addr: 127.0.0.1
"""
_DMARC = """\
Socket inet:{port}@127.0.0.1
AuthservID mx.postfix.test
TrustedAuthservIDs mx.postfix.test
IgnoreHosts {folder}/nobody
RejectFailures true
SPFIgnoreResults true
SPFSelfValidate true
Syslog false
"""


@contextmanager
def checkers(names: Path) -> Iterator[None]:
    """Both, with the name server of the folder `names`; mail of our own address is checked like any other."""
    folder = names / "checkers"
    folder.mkdir()
    (folder / "nobody").write_text("203.0.113.255\n")
    (folder / "unbound.conf").write_text(_UNBOUND)
    (folder / "dkim.conf").write_text(_DKIM.format(port=_DKIM_PORT, folder=folder))
    (folder / "dmarc.conf").write_text(_DMARC.format(port=_DMARC_PORT, folder=folder))
    commands: tuple[list[str | Path], ...] = (
        [need("opendkim"), "-f", "-x", folder / "dkim.conf"],
        [need("opendmarc"), "-f", "-c", folder / "dmarc.conf"],
    )
    with (folder / "said").open("w") as said:
        processes = [subprocess.Popen(resolving(names, *each), stdout=said, stderr=said) for each in commands]
    try:
        until(lambda: _listening() >= {_DKIM_PORT, _DMARC_PORT}, 20, (folder / "said").read_text)
        yield
    finally:
        for process in processes:
            process.terminate()
            process.wait(20)


def _listening() -> set[int]:
    """The ports of this network that take connections."""
    lines = Path("/proc/thread-self/net/tcp").read_text().splitlines()[1:]
    rows = [line.split() for line in lines]
    return {int(row[1].rpartition(":")[2], 16) for row in rows if row[3] == "0A"}

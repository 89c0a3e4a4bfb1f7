"""A real name server (nsd) for one zone, loaded with a zone file."""

import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from smtpd_classic.dns import DnsFailure, DnsResolver, NoSuchDomain
from tests.instance import free_port
from tests.tools import need
from tests.waiting import until

__all__ = ["zone_server"]

_CONFIG = """\
server:
  ip-address: 127.0.0.1
  port: {port}
  username: ""
  chroot: ""
  zonesdir: "{folder}"
  pidfile: "{folder}/nsd.pid"
  xfrdfile: "{folder}/xfrd.state"
  zonelistfile: "{folder}/zone.list"
  server-count: 1
  logfile: "{folder}/nsd.log"
remote-control:
  control-enable: no
"""
_ZONE = "zone:\n  name: {zone}\n  zonefile: {file}\n"
_APEX = "@ 3600 IN SOA ns.{zone}. root.{zone}. 1 3600 600 86400 60\n@ 3600 IN NS ns.{zone}.\nns 3600 IN A 127.0.0.1\n"


@contextmanager
def zone_server(folder: Path, zone: str, fragment: str, others: Mapping[str, str] | None = None) -> Iterator[int]:
    """The port of an nsd that serves the zone; the fragment is loaded behind its apex. `others` are more of them."""
    folder.mkdir(exist_ok=True)
    port = free_port()
    text = _CONFIG.format(port=port, folder=folder)
    for name, records in {zone: fragment, **(others or {})}.items():
        (folder / f"{name}.zone").write_text(f"$ORIGIN {name}.\n" + _APEX.format(zone=name) + records)
        text += _ZONE.format(zone=name, file=f"{name}.zone")
    (folder / "nsd.conf").write_text(text)
    process = subprocess.Popen([need("nsd"), "-d", "-c", folder / "nsd.conf"], stderr=subprocess.DEVNULL)

    def answers() -> bool:
        assert process.poll() is None, (folder / "nsd.log").read_text()
        try:
            return bool(DnsResolver((("127.0.0.1", port),)).address_records(f"ns.{zone}", 4, timeout_s=0.5))
        except (DnsFailure, NoSuchDomain):
            return False

    try:
        until(answers, 20)
        yield port
    finally:
        process.terminate()
        process.wait(10)

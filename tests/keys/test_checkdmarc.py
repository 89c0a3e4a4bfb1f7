"""The printed zone, loaded as it is into a real name server, with checkdmarc as the judge."""

import json
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.instance import Instance
from tests.keys.name_server import zone_server
from tests.keys.test_zones import CASES, ZONE
from tests.tools import TOOLS, need

pytestmark = pytest.mark.peers

# Not the whole of it, and without DNSSEC: that asks the name servers of this machine.
_PROGRAM = """\
import json, sys
import dns.resolver
from checkdmarc import smtp
from checkdmarc.dmarc import check_dmarc
from checkdmarc.smtp_tls_reporting import check_smtp_tls_reporting
from checkdmarc.spf import check_spf
smtp.check_dnssec = lambda *_, **__: False
resolver = dns.resolver.Resolver(configure=False)
resolver.nameservers, resolver.port = ["127.0.0.1"], int(sys.argv[1])
domain, host = sys.argv[2:]
found = {
    "mx": smtp.check_mx(domain, resolver=resolver),
    "spf": check_spf(domain, resolver=resolver),
    "host spf": check_spf(host, resolver=resolver),
    "dmarc": check_dmarc(domain, resolver=resolver),
    "tls": check_smtp_tls_reporting(domain, resolver=resolver),
}
print(json.dumps(found, default=str))
"""
RELAY = {"relay.test": '@ 3600 IN TXT "v=spf1 ip4:192.0.2.25 -all"\nsmtp 3600 IN A 192.0.2.25\n'}
# Advice that does not concern the records: nsd has no reverse zone, and the first policy asks for reports only.
_ADVICE = ("reverse DNS", "p tag value of none")


@pytest.fixture(scope="module")
def instance() -> Iterator[Instance]:
    with tempfile.TemporaryDirectory(prefix="smtpd-classic-") as folder:
        Path(folder).chmod(0o755)
        yield Instance(Path(folder) / "instance")


def judged(port: int, host: str) -> dict[str, Any]:
    command = [need(str(TOOLS / "checkdmarc/bin/python")), "-c", _PROGRAM, str(port), ZONE, host]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize(("options", "helo", "public"), CASES.values(), ids=CASES)
def test_checkdmarc_finds_no_fault_in_the_printed_zone(
    instance: Instance, tmp_path: Path, options: dict[str, str], helo: str, public: str
) -> None:
    """Behind NAT too: none of the interfaces of this machine has the addresses."""
    before = instance.file.read_text()
    try:
        instance.set("server", "public_addresses", public)
        for name, value in options.items():
            section, option = name.split()
            instance.set(section, option, value)
        fragment = instance.run("dns", "records", ZONE, "--zone").stdout
    finally:
        instance.file.write_text(before)
    with zone_server(tmp_path / "nsd", ZONE, fragment, RELAY) as port:
        found = judged(port, helo)
    for name in ("spf", "host spf", "dmarc", "tls"):
        assert found[name]["valid"] is True, found[name]
    warnings = [each for part in found.values() for each in part["warnings"]]
    assert [each for each in warnings if not any(words in each for words in _ADVICE)] == []
    assert [(each["hostname"], sorted(each["addresses"])) for each in found["mx"]["hosts"]] == [
        (helo, sorted(public.split(", ")))
    ]
    assert found["spf"]["record"] == (
        "v=spf1 mx include:relay.test ~all" if "remote relay_hosts" in options else "v=spf1 mx ~all"
    )
    assert found["host spf"]["record"] == ("v=spf1 mx ~all" if helo == ZONE else "v=spf1 a -all")
    assert found["dmarc"]["tags"]["rua"]["value"][0]["address"] == f"dmarc-reports@{ZONE}"

"""dnsmasq as the only name server of a network: it answers for `test` and refuses everything else."""

import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import dns.message
import dns.query

from tests.tools import need
from tests.waiting import until

__all__ = ["NULL_MX", "name_server", "resolving"]

NULL_MX: tuple[tuple[int, str], ...] = ((0, "."),)
"""RFC 7505: the domain takes no mail."""


@contextmanager
def name_server(
    folder: Path,
    mx: Mapping[str, Sequence[tuple[int, str]]],
    addresses: Mapping[str, str],
    records: Sequence[str] = (),
    *,
    ip: str = "127.0.0.1",
) -> Iterator[tuple[str, int]]:
    """Its address and port. Programs that know no other than /etc/resolv.conf are started by `resolving`."""
    lines = ["port=53", f"listen-address={ip}", "bind-interfaces", "no-resolv", "no-hosts", "user=root"]
    lines += ["local=/test/", "local=/in-addr.arpa/", f"pid-file={folder}/dnsmasq.pid"]
    lines += [f"host-record={name},{ip}" for name, ip in addresses.items()]
    for domain, hosts in mx.items():
        for preference, host in hosts:
            lines.append(
                f"dns-rr={domain},15,{preference:04x}00" if host == "." else f"mx-host={domain},{host},{preference}"
            )
    lines += records
    (folder / "dnsmasq.conf").write_text("\n".join(lines) + "\n")
    (folder / "resolv.conf").write_text(f"nameserver {ip}\n")
    with (folder / "dnsmasq.log").open("w") as log:
        process = subprocess.Popen(
            [need("dnsmasq"), "--keep-in-foreground", "--log-facility=-", f"--conf-file={folder}/dnsmasq.conf"],
            stderr=log,
        )
    try:
        until(lambda: _answers(ip), 20, (folder / "dnsmasq.log").read_text)
        yield ip, 53
    finally:
        process.terminate()
        process.wait(20)


def _answers(ip: str) -> bool:
    try:
        dns.query.udp(dns.message.make_query("test.", "A"), ip, timeout=1)
    except (TimeoutError, OSError, dns.exception.DNSException):
        return False
    return True


def resolving(folder: Path, *command: str | Path) -> list[str | Path]:
    """The command, asking this name server; nobody else's /etc/resolv.conf is touched."""
    script = 'mount --bind "$0" /etc/resolv.conf && exec "$@"'
    return [need("unshare"), "--mount", "sh", "-c", script, folder / "resolv.conf", *command]

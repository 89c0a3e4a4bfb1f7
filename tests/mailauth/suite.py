"""The test suite of RFC 7208 (openspf.org, 2014): its cases, and its zone data as DNS records."""

import ipaddress
from typing import Any, NamedTuple

import yaml

from smtpd_classic.dns import DnsFailure, MxRecord, NoSuchDomain
from tests.tools import TOOLS

__all__ = ["SuiteCase", "ZoneData", "suite_cases"]

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the one in C takes a tenth of the time
SUITE = TOOLS / "pyspf" / "test" / "rfc7208-tests.yml"


class SuiteCase(NamedTuple):
    name: str
    helo: str
    mail_from: str
    ip: str
    results: tuple[str, ...]
    explanation: str | None
    zone: "ZoneData"


class ZoneData:
    """The zone data of one scenario."""

    def __init__(self, zone: dict[str, list[Any]]) -> None:
        self._zone = {name.lower(): list(_records(entries)) for name, entries in zone.items()}

    def txt(self, name: str, *, timeout_s: float = 10.0) -> tuple[bytes, ...]:
        return tuple(
            "".join([text] if isinstance(text, str) else text).encode("utf-8") for text in self._find(name, "TXT")
        )

    def address_records(self, host: str, version: int, *, timeout_s: float = 10.0) -> tuple[str, ...]:
        return tuple(self._find(host, "A" if version == 4 else "AAAA"))

    def mx_records(self, domain: str, *, timeout_s: float = 10.0) -> tuple[MxRecord, ...]:
        return tuple(MxRecord(int(number), host.rstrip(".")) for number, host in self._find(domain, "MX"))

    def ptr(self, ip: str, *, timeout_s: float = 10.0) -> tuple[str, ...]:
        return tuple(self._find(ipaddress.ip_address(ip).reverse_pointer, "PTR"))

    def _find(self, name: str, kind: str, depth: int = 0) -> list[Any]:
        entries = self._zone.get(name.lower())
        if entries is None:
            raise NoSuchDomain(name)
        found: list[Any] = []
        for each_kind, value in entries:
            if each_kind == "CNAME" and depth < 5:
                return self._find(value, kind, depth + 1)
            if each_kind == kind:
                if value == "TIMEOUT":
                    raise DnsFailure(name)
                found.append(value)
        if not found and ("TIMEOUT", "") in entries:
            raise DnsFailure(name)
        return found


def _records(entries: list[Any]) -> list[tuple[str, Any]]:
    """The records; an SPF record stands for a TXT record too, unless there are TXT records (the suite's own rule)."""
    pairs: list[tuple[str, Any]] = []
    for entry in entries:
        pairs += [("TIMEOUT", "")] if entry == "TIMEOUT" else list(entry.items())
    if not any(kind == "TXT" for kind, _ in pairs):
        pairs += [("TXT", value) for kind, value in pairs if kind == "SPF"]
    return [(kind, value) for kind, value in pairs if value != "NONE"]


def suite_cases() -> list[SuiteCase]:
    if not SUITE.exists():
        return []
    found: list[SuiteCase] = []
    for scenario in yaml.load_all(SUITE.read_text(encoding="utf-8"), LOADER):
        zone = ZoneData(scenario["zonedata"])
        for name, case in scenario["tests"].items():
            wanted = case["result"]
            found.append(
                SuiteCase(
                    name,
                    str(case["helo"]),
                    case["mailfrom"] or "",
                    case["host"],
                    (wanted,) if isinstance(wanted, str) else tuple(wanted),
                    case.get("explanation"),
                    zone,
                )
            )
    return found

"""The DNS records that a domain has to publish, as text for people, as a zone fragment, and as data."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from smtpd_classic.mailauth.dmarc_record import mailto_uri

__all__ = ["DnsRecord", "MailHost", "domain_records", "quoted_strings", "zone_fragment"]

_LONGEST_STRING = 255


@dataclass(frozen=True, slots=True)
class DnsRecord:
    """One record. `data` is the text of a TXT record without quotation marks, else the data as a zone file has it."""

    name: str
    kind: str
    data: str
    purpose: str
    optional: bool = False


@dataclass(frozen=True, slots=True)
class MailHost:
    """The facts about this server that its records depend on. `relay_terms` are the SPF terms for the relays."""

    helo_name: str
    addresses: tuple[str, ...]
    mail_domains: frozenset[str]
    relay_terms: tuple[str, ...] = ()
    submissions: bool = True


def domain_records(
    domain: str,
    host: MailHost,
    keys: Iterable[tuple[str, str]],
    *,
    dmarc_reports_to: str,
    tls_reports_to: str,
) -> list[DnsRecord]:
    """Return the records for one domain. `keys` are pairs of a name in DNS and a record."""
    found = [DnsRecord(domain, "MX", f"10 {host.helo_name}.", "Mail for this domain comes to this server.")]
    found += _host_records(domain, host)
    spf = " ".join(("v=spf1 mx", *host.relay_terms, "~all"))
    purpose = "SPF: this server may send for the domain."
    if any(term.startswith("include:") for term in host.relay_terms):
        purpose += " Ask the provider of the relay for the right include."
    found.append(DnsRecord(domain, "TXT", spf, purpose))
    found += [DnsRecord(name, "TXT", record, "DKIM: the key of our signatures.") for name, record in keys]
    dmarc = f"v=DMARC1; p=none; rua={mailto_uri(dmarc_reports_to)}"
    found.append(DnsRecord(f"_dmarc.{domain}", "TXT", dmarc, "DMARC: reports about mail that claims this domain."))
    tls = f"v=TLSRPTv1; rua={mailto_uri(tls_reports_to)}"
    found.append(DnsRecord(f"_smtp._tls.{domain}", "TXT", tls, "Reports about TLS on the way to this server."))
    found.append(DnsRecord(domain, "CAA", '0 issue "letsencrypt.org"', "Who may issue certificates.", optional=True))
    if host.submissions:
        for service, port in (("_submissions", 465), ("_imaps", 993)):
            data = f"0 1 {port} {host.helo_name}."
            found.append(DnsRecord(f"{service}._tcp.{domain}", "SRV", data, "Mail programs find the server by it."))
    return found


def _host_records(domain: str, host: MailHost) -> list[DnsRecord]:
    """Return the records of the server's own name, unless another domain's zone has to hold them."""
    name = host.helo_name
    if name != domain and not name.endswith(f".{domain}"):
        return []
    kinds = [(address, "AAAA" if ":" in address else "A") for address in host.addresses]
    found = [DnsRecord(name, kind, address, "The address of this server.") for address, kind in kinds]
    if name not in host.mail_domains:  # two SPF records at one name are an error
        found.append(DnsRecord(name, "TXT", "v=spf1 a -all", "SPF of the name in HELO, which bounces are sent from."))
    return found


def quoted_strings(text: str) -> str:
    """Return the data of a TXT record as a zone file has it, in strings of at most 255 octets."""
    pieces = [text[at : at + _LONGEST_STRING] for at in range(0, len(text), _LONGEST_STRING)] or [""]
    return " ".join('"' + piece.replace("\\", "\\\\").replace('"', '\\"') + '"' for piece in pieces)


def zone_fragment(records: Sequence[DnsRecord]) -> str:
    """Return the records as lines of a zone file, each behind a comment that says its purpose."""
    lines: list[str] = []
    for record in records:
        data = quoted_strings(record.data) if record.kind == "TXT" else record.data
        lines.append(f"; {record.purpose}")
        lines.append(f"{'; ' if record.optional else ''}{record.name}. 3600 IN {record.kind} {data}")
    return "\n".join(lines) + "\n"

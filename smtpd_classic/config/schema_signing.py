"""The options of signing: reports that the printed DNS records ask for."""

from dataclasses import dataclass

from smtpd_classic.config.kinds import SENDER_ADDRESS
from smtpd_classic.config.option import option

__all__ = ["Signing"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Signing:
    dmarc_reports_to: str = option(
        SENDER_ADDRESS,
        "",
        "DMARC reports to",
        "The address for reports of other servers about mail that claims a domain of this server. It is written into "
        "the DNS records that are printed. Blank: postmaster at each domain. An address of a domain elsewhere gets "
        "reports only when that domain allows it in its own DNS (RFC 9990).",
    )
    tls_reports_to: str = option(
        SENDER_ADDRESS,
        "",
        "TLS reports to",
        "The address for reports of other servers about TLS on the way to this server (RFC 8460). It is written into "
        "the DNS records that are printed. Blank: postmaster at each domain.",
    )

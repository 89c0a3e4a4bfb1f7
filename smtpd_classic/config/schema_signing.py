"""The options of signing, and of the reports that the printed DNS records ask for."""

from smtpd_classic.config.frozen import frozen_dataclass
from smtpd_classic.config.kinds import BOOLEAN, NETWORKS, SENDER_ADDRESS, Network
from smtpd_classic.config.option import option

__all__ = ["Signing"]


@frozen_dataclass(frozen=True, slots=True, kw_only=True)
class Signing:
    """The options of [signing]."""

    sign_relayed: bool = option(
        BOOLEAN,
        True,
        "Sign mail that leaves through the relay",
        "Switch this off for a relay that refuses signed mail.",
    )
    sign_for_hosts: tuple[Network, ...] = option(
        NETWORKS,
        (),
        "Sign for these trusted hosts",
        "Trusted Hosts that pass on mail of other programs or servers of yours. Their mail is signed although it has a "
        "Received or a DKIM-Signature field. Mail of other Trusted Hosts is signed only when it has neither: a filter "
        "that passes on mail of strangers must not make it yours.",
    )
    dmarc_reports_to: str = option(
        SENDER_ADDRESS,
        "",
        "DMARC reports to",
        "The address for reports of other servers about mail that claims a domain of this server. It is written into "
        "the DNS records that are printed. Blank: dmarc-reports at each domain (postmaster, where the mailboxes are on "
        "an LMTP server). A local address needs no account: without one, and without an alias, the server keeps the "
        "reports for 30 days, in at most 64 MiB; the mail of an account that was deleted is not removed. An address of "
        "a domain elsewhere gets reports only when that domain allows it in its own DNS (RFC 9990).",
    )
    tls_reports_to: str = option(
        SENDER_ADDRESS,
        "",
        "TLS reports to",
        "The address for reports of other servers about TLS on the way to this server (RFC 8460). It is written into "
        "the DNS records that are printed. Blank: tls-reports at each domain. The rest is as for the DMARC reports.",
    )

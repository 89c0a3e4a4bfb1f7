"""The options of checking incoming mail: SPF, DKIM, DMARC, and the action that follows."""

from datetime import timedelta

from smtpd_classic.config.frozen import frozen_dataclass
from smtpd_classic.config.kinds import BOOLEAN, HOST_PATTERNS, POSITIVE_DURATION, choice
from smtpd_classic.config.option import option

__all__ = ["Authentication"]


@frozen_dataclass(frozen=True, slots=True, kw_only=True)
class Authentication:
    """The options of [authentication]."""

    check: bool = option(
        BOOLEAN,
        True,
        "Check incoming mail",
        "Check SPF, DKIM and DMARC of mail from clients that are neither logged in nor trusted, and write the results "
        "into an Authentication-Results field. Mail that looks forged goes to the junk folder or is refused, as the "
        'following options say. An author\'s name that shows another address, as in "boss@other.example" '
        "<x@far.example>, is marked in X-Spam-Reason.",
    )
    spf_fail: str = option(
        choice("mark", "refuse"),
        "mark",
        "When SPF fails",
        "mark: write it into the field. refuse: refuse the recipient when the sender's domain forbids the client to "
        "send for it (-all). That hits forwarded mail; DMARC decides better.",
    )
    dmarc_quarantine: str = option(
        choice("mark", "junk", "refuse"),
        "junk",
        "When DMARC asks for quarantine",
        "The action for mail that neither SPF nor DKIM confirms, when the author's domain has the policy quarantine. "
        "mark: write it into the field. junk: put it into the junk folder. refuse: refuse it.",
    )
    dmarc_reject: str = option(
        choice("mark", "junk", "refuse"),
        "junk",
        "When DMARC asks for rejection",
        "The same for the policy reject. Mailing lists break signatures, so refuse loses mail of people who write to "
        "lists; RFC 9989 7.4 advises against it.",
    )
    own_domains: str = option(
        choice("mark", "junk", "refuse"),
        "junk",
        "Mail in our own name",
        "The action for mail of strangers whose author is in a domain of this server, when neither SPF nor DKIM "
        "confirms it, also without a DMARC record. It is not taken for a domain that has neither an SPF record nor a "
        "key in use. refuse hits copies that come back from mailing lists.",
    )
    trusted_forwarders: tuple[str, ...] = option(
        HOST_PATTERNS,
        (),
        "Trusted forwarders",
        "Hosts whose mail is only marked, never put into the junk folder or refused for its authentication: list "
        "servers, and servers that forward for your users. IP addresses, networks, host names, or .domain for all "
        "hosts below a domain; a name counts when its address leads back to the client.",
    )
    trusted_results: tuple[str, ...] = option(
        HOST_PATTERNS,
        (),
        "Trusted results from",
        "Hosts whose Authentication-Results and X-Spam fields stay in the message, even in our own name: a gateway of "
        "yours that checks mail before this server. From all others such fields are removed.",
    )
    deadline: timedelta = option(
        POSITIVE_DURATION,
        timedelta(seconds=10),
        "Time for look-ups",
        "How long all DNS look-ups for one message may take. After that the results are temperror, and the message is "
        "only marked.",
    )

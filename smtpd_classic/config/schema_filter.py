"""The options of the SMTP Filter: checks of clients and senders that only a mail server can make."""

from datetime import timedelta

from smtpd_classic.config.frozen import frozen_dataclass
from smtpd_classic.config.kinds import (
    ALLOWLISTS,
    BLOCKLISTS,
    FILE_ENDINGS,
    HELLO_PATTERNS,
    POSITIVE_DURATION,
    SENDER_PATTERNS,
    SIZE,
    DnsList,
    choice,
)
from smtpd_classic.config.option import option

__all__ = ["Filter"]


@frozen_dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """The options of [filter]."""

    sender_domain: str = option(
        choice("no", "defer", "refuse"),
        "defer",
        "Sender's domain must exist",
        "The action for a sender whose domain does not exist in DNS, or has neither a mail server nor an address. "
        "no: it is not checked. defer: 450, so that the sender's server tries again. refuse: 550. A domain that "
        "declares that it has no mail (null MX) is refused with both. A look-up that fails is no reason against a "
        "message. The null sender of bounces is always accepted.",
    )
    reverse_name: str = option(
        choice("mark", "refuse"),
        "mark",
        "Client without a host name",
        "The action for a client whose address leads to no host name, or to one that does not lead back. mark: iprev "
        "in the Authentication-Results field says so. refuse: refuse the recipient.",
    )
    own_hello: str = option(
        choice("no", "refuse"),
        "refuse",
        "Client that greets with our name",
        "The action for a stranger that says our own host name or one of our addresses in EHLO. refuse: refuse the "
        "recipient, unless SPF passes. A client on this machine is never refused for it.",
    )
    refuse_senders: tuple[str, ...] = option(
        SENDER_PATTERNS,
        (),
        "Refuse senders",
        "Envelope senders to refuse: addresses, domains, or .domain for all domains below one. * stands for any text.",
    )
    refuse_hellos: tuple[str, ...] = option(
        HELLO_PATTERNS,
        (),
        "Refuse names in EHLO",
        "Names in EHLO to refuse: a name, or .name for all names below one. * stands for any text.",
    )
    blocklists: tuple[DnsList, ...] = option(
        BLOCKLISTS,
        (),
        "Blocklists",
        "DNS lists of addresses that send spam, such as zen.example.org; zone=127.0.0.2-11 counts these answers only. "
        "Lists are tested at the start and every hour. A list that does not have 127.0.0.2, or has 127.0.0.1, does not "
        "work: it is not used. One that fails to answer three times in a row is not used for 5 minutes. The log, "
        "Status, the check and the doctor name it. Many lists refuse to answer the resolvers of large providers: use "
        "a resolver of your own.",
    )
    blocklist_action: str = option(
        choice("mark", "junk", "refuse"),
        "refuse",
        "Client in a blocklist",
        "mark: an X-Blocklist field names the list. junk: put the message into the junk folder. refuse: refuse the "
        "recipient, with the reason that the list gives.",
    )
    allowlists: tuple[DnsList, ...] = option(
        ALLOWLISTS,
        (),
        "Allowlists",
        "DNS lists of good senders, with the answers that count, such as list.example.org=127.0.0-255.1-3. A client in "
        "one of them needs no host name, and blocklists are not asked about it.",
    )
    greylist: str = option(
        choice("no", "suspicious"),
        "no",
        "Greylisting",
        "suspicious: ask a client to come back after five minutes (451) when SPF does not pass for its message and no "
        "host name leads back to its address. A sender that has come back is known for 36 days after its last "
        "message, and a network of clients (/24, /64) as a whole when 16 of its senders have. A client in an "
        "allowlist does not wait, and neither does one that a look-up leaves in doubt. The memory is bounded: first "
        "tries of a network that makes very many of them are forgotten.",
    )
    block_attachments: tuple[str, ...] = option(
        FILE_ENDINGS,
        (),
        "Blocked attachments",
        "Endings of file names, such as .exe, .js. A message with such a file is treated as block_attachments_action "
        "says; the names inside winmail.dat and zip files count too, and uuencoded files within the text.",
    )
    block_attachments_action: str = option(
        choice("refuse", "junk"),
        "refuse",
        "With a blocked attachment",
        "refuse: refuse the message (550). junk: put it into the junk folder.",
    )
    quarantine_time: timedelta = option(
        POSITIVE_DURATION,
        timedelta(days=30),
        "Longest time in quarantine",
        "How long a message stays in the quarantine: on hold in the queue, until it is released or deleted. After this "
        "it is deleted. Quarantined mail of strangers is never answered by a notice; if delivery fails after a "
        "release, the postmaster gets the bounce.",
    )
    quarantine_size: int = option(
        SIZE,
        1024**3,
        "Size of the quarantine",
        "The most room that all quarantined messages together may take. Beyond it the oldest are deleted, and a "
        "warning is logged, which the Status screen shows. 0: no limit.",
    )

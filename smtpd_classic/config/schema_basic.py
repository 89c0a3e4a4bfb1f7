"""The options of Basic Parameters: names, limits and the rules for senders."""

from datetime import timedelta

from smtpd_classic.config.frozen import frozen_dataclass
from smtpd_classic.config.kinds import (
    BOOLEAN,
    DURATION,
    FACTOR,
    OPTIONAL_DOMAIN_NAME,
    POSITIVE_DURATION,
    SENDER_ADDRESS,
    SIZE,
    choice,
    number,
)
from smtpd_classic.config.option import option

__all__ = ["Basic"]

_MINUTE = timedelta(minutes=1)


@frozen_dataclass(frozen=True, slots=True, kw_only=True)
class Basic:
    """The options of [basic]."""

    postmaster: str = option(
        SENDER_ADDRESS,
        "",
        "Postmaster mailbox",
        "The From address of bounces. It receives double bounces and notices. It must be a local address or one "
        "that can be reached. Blank: postmaster at the primary domain. Mail for postmaster at any local domain "
        "always reaches it. When it is set, it comes before an alias named postmaster, not before an account.",
    )
    copy_bounces: str = option(
        choice("none", "headers", "full"),
        "headers",
        "Copy bounces to postmaster",
        "Whether the postmaster gets a copy of each bounce: none, with the headers of the original message, or in "
        "full.",
    )
    helo_name: str = option(
        OPTIONAL_DOMAIN_NAME,
        "",
        "HELO/EHLO host name",
        "The name of this host in the banner, in our own EHLO, in Received and Message-ID and in bounces. Blank: the "
        "primary domain. Other servers expect it to resolve to the address that they see. An internationalised name "
        "is sent in its ASCII form (xn--).",
    )
    max_recipients: int = option(
        number(1, 50000),
        100,
        "Max. recipients",
        "Envelope recipients of one message. Under 100, other servers may be turned away (RFC 5321 4.5.3.1.8).",
    )
    over_max_recipients: str = option(
        choice("automatic", "defer", "reject"),
        "automatic",
        "Over the limit",
        "defer: excess recipients get 452 and those already accepted stay; reject: 550, and the whole message is "
        "refused; automatic: reject for users who have logged in, because they would not notice a partial delivery, "
        "and defer for others.",
    )
    max_message_size: int = option(
        SIZE,
        25 * 1024**2,
        "Max. message size",
        "The size of any one message. It is announced to clients. 0: no limit.",
    )
    max_incoming_size: int = option(
        SIZE,
        0,
        "Max. incoming size",
        "The size of a message for local recipients from a client that is neither trusted nor logged in. 0: no limit "
        "of its own.",
    )
    max_outgoing_size: int = option(
        SIZE,
        0,
        "Max. outgoing size",
        "The size of a message for recipients on other servers, also through an alias here. 0: no limit of its own. "
        "The smallest limit wins.",
    )
    max_hops: int = option(
        number(1, 1000),
        100,
        "Max. hops",
        "How many Received fields a message may have; one with more is in a loop and is refused.",
    )
    max_rset: int = option(
        number(0, 100000),
        20,
        "Max. RSET",
        "Maximum RSET commands since the last accepted message; beyond it the connection is closed. 0: no limit.",
    )
    retry_interval: timedelta = option(
        POSITIVE_DURATION,
        15 * _MINUTE,
        "Delivery retry interval",
        "The wait after the first failed delivery attempt.",
    )
    retry_backoff: float = option(
        FACTOR,
        2.0,
        "Retry backoff",
        "Each further wait is this many times the one before. 1: constant.",
    )
    max_retry_interval: timedelta = option(
        POSITIVE_DURATION,
        240 * _MINUTE,
        "Longest retry interval",
        "No wait between two attempts is longer than this.",
    )
    queue_lifetime: timedelta = option(
        DURATION,
        timedelta(days=5),
        "Life time in queue",
        "How long the server tries to deliver a message. After one last attempt the message is returned to its sender.",
    )
    delay_notice: timedelta = option(
        DURATION,
        240 * _MINUTE,
        "Delay notice after",
        "The sender gets one notice when a message has waited this long. 0: never.",
    )
    close_open_relay: bool = option(
        BOOLEAN,
        True,
        "Close open relay",
        "Strangers may send only to local domains, Open Relay Domains and direct domains that are marked open. Off: "
        "strangers may send to any address through this server; it will soon be used for spam, and other servers will "
        "block it.",
    )
    open_relay_confirmed: bool = option(
        BOOLEAN,
        False,
        "Open relay is wanted",
        "Without this confirmation, a configuration that is an open relay is refused, unless all listeners are "
        "loopback.",
    )
    require_local_sender: bool = option(
        BOOLEAN,
        True,
        "From must be a local user",
        "Users who have logged in can only send from addresses that exist here.",
    )
    require_own_sender: bool = option(
        BOOLEAN,
        True,
        "From and account must be the same",
        "Users who have logged in can only send from their own addresses, in the envelope and in the From and Sender "
        "headers: the login, its plus-addresses, aliases that lead to it alone, and what it may send as. The form of "
        "the From header does not matter, but every address in it must be the user's, also in the display name. A "
        "local part alone gets the primary domain, and a missing From is added from the envelope sender.",
    )
    require_auth_for_local_sender: bool = option(
        BOOLEAN,
        True,
        "Local senders must authenticate",
        "A client that is neither logged in nor trusted cannot send from an address of a local domain.",
    )
    convert_tnef: bool = option(
        BOOLEAN,
        False,
        "Convert MS-TNEF into MIME",
        "Outlook's winmail.dat is replaced by the text and the attachments that it holds, in mail delivered here and "
        "in mail that our users send. Signed and encrypted mail stays as it came, and so does mail that cannot be "
        "converted as a whole.",
    )
    allow_tls: bool = option(
        BOOLEAN,
        True,
        "Allow SSL/TLS",
        "Offer STARTTLS and open the ports with implicit TLS, as the listeners say. Off: no TLS at all, and users can"
        " only log in when login without TLS is allowed.",
    )
    allow_auth_without_tls: bool = option(
        BOOLEAN,
        False,
        "Allow login without TLS",
        "Offer AUTH on connections without TLS too. Passwords can then be read on the network.",
    )
    allow_vrfy_expn: bool = option(
        BOOLEAN,
        False,
        "Allow VRFY/EXPN",
        "Answer VRFY and EXPN with addresses and the members of aliases, outside ASCII only to clients that ask with "
        "SMTPUTF8. Spammers use them too.",
    )
    offer_dsn: str = option(
        choice("users", "everyone"),
        "users",
        "Offer delivery notices (DSN)",
        "The clients that may ask for notices of success and delay (RFC 3461). users: those that have logged in, are "
        "trusted or submit on this machine. everyone: strangers too, whose forged senders then get the notices.",
    )
    bare_line_feeds: str = option(
        choice("normalise", "reject"),
        "normalise",
        "Bare line feeds",
        "The treatment of a message that holds a single CR or LF, or NUL. normalise replaces each by a whole line end "
        "(and drops NUL); reject refuses the message. Such an octet never ends the message early.",
    )
    min_free_space: int = option(
        SIZE,
        100 * 1024**2,
        "Minimum free space",
        "When the disk of the spool or of the mail folder has less free space, messages are deferred with 452.",
    )

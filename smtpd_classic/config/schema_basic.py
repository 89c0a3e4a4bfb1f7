"""The options of Basic Parameters: names, limits and the rules for senders."""

from dataclasses import dataclass
from datetime import timedelta

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Basic:
    postmaster: str = option(
        SENDER_ADDRESS,
        "",
        "Postmaster mailbox",
        "The address that bounces come from and that gets double bounces and notices. It must be a local address or "
        "one that can be reached. Blank: postmaster at the primary domain. Mail for postmaster at any local domain "
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
        "primary domain. Other servers expect it to resolve to the address that they see.",
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
        "refused; automatic: reject for users who have logged in, who would not notice a partial delivery, defer for "
        "others.",
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
        "RSET commands of one session since its last accepted message; over it the connection is closed. 0: no limit.",
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
        "How long delivery is tried. Then follows one last attempt, and the message is returned to its sender.",
    )
    delay_notice: timedelta = option(
        DURATION,
        240 * _MINUTE,
        "Delay notice after",
        "The sender is told once when a message has waited this long. 0: never.",
    )
    close_open_relay: bool = option(
        BOOLEAN,
        True,
        "Close open relay",
        "Strangers may send only to local domains, Open Relay Domains and direct domains that are marked open. Off: "
        "anybody may send anything to anybody through this server, which will soon be used for spam and blocked by "
        "others.",
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
        "in mail that our users send. Signed and encrypted mail, and what cannot be converted whole, stays as it "
        "came.",
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
        "Offer AUTH on connections without TLS too. Passwords then cross the network for everybody to read.",
    )
    allow_vrfy_expn: bool = option(
        BOOLEAN,
        False,
        "Allow VRFY/EXPN",
        "Answer questions for addresses and the members of aliases. Useful to spammers too.",
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
        "What to do with a message that holds CR or LF alone, or NUL: normalise makes whole line ends of them (and "
        "drops NUL), reject refuses the message. Neither ever ends it early.",
    )
    min_free_space: int = option(
        SIZE,
        100 * 1024**2,
        "Minimum free space",
        "When less is free on the disk of the spool or of the mail folder, senders are asked to come back later.",
    )

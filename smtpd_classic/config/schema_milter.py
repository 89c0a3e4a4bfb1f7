"""The options of milters: programs that check or change messages while they are received."""

from datetime import timedelta

from smtpd_classic.config.frozen import frozen_dataclass
from smtpd_classic.config.kinds import FIELD_NAME, NEIGHBOUR, POSITIVE_DURATION, SIZE, choice, number
from smtpd_classic.config.option import option, required

__all__ = ["Milter", "Milters"]


@frozen_dataclass(frozen=True, slots=True, kw_only=True)
class Milters:
    """The options of [milter]."""

    filter_deadline: timedelta = option(
        POSITIVE_DURATION,
        timedelta(minutes=5),
        "Time for all milters of one message",
        "How long all milters together may work on one message, even if they report progress. After it the milter "
        "that is working counts as down.",
    )
    max_connections: int = option(
        number(1, 10000),
        50,
        "Connections per milter",
        "How many connections to one milter each receiving process opens. A message that finds none free is treated "
        "as when_down says, at once.",
    )


@frozen_dataclass(frozen=True, slots=True, kw_only=True)
class Milter:
    """The options of [milter NAME]."""

    name: str
    address: str = required(
        NEIGHBOUR,
        "Address",
        "The socket of the milter: unix:/run/rspamd/milter.sock, or HOST:PORT. The service user needs the right to "
        "write to a UNIX socket; if it has not, the log and the test name the group to add. A milter may change the "
        "header and the recipients, but not the body: set it up to leave the body as it is (spamass-milter -m).",
    )
    for_: str = option(
        choice("incoming", "outgoing", "both"),
        "incoming",
        "For",
        "The mail that the milter sees. incoming: from clients that are neither logged in nor trusted. outgoing: from "
        "users, trusted hosts and local programs; the server's own notices are not shown. both: all of it.",
    )
    when_down: str = option(
        choice("defer", "accept", "refuse"),
        "defer",
        "When it is down",
        "The action if the milter cannot be reached, is late, or breaks the protocol. defer: the client is asked to "
        "try again later (451). accept: the message passes without this milter. refuse: 550. Status shows a milter "
        "that is down, and after 5 minutes the postmaster gets a message.",
    )
    connect_timeout: timedelta = option(
        POSITIVE_DURATION,
        timedelta(seconds=5),
        "Connect timeout",
        "How long the milter may take to accept a connection.",
    )
    command_timeout: timedelta = option(
        POSITIVE_DURATION,
        timedelta(seconds=30),
        "Command timeout",
        "How long the milter may take for the answer to each command, field and piece of the body.",
    )
    content_timeout: timedelta = option(
        POSITIVE_DURATION,
        timedelta(seconds=120),
        "Content timeout",
        "How long the milter may take for its decision after the end of the message. A sign of progress gives it this "
        "time again, within filter_deadline.",
    )
    max_size: int = option(
        SIZE,
        10 * 1024 * 1024,
        "Largest message",
        "Larger messages are not shown to the milter. They get the field “X-Spam-Reason: not scanned (size)”. 0: no "
        "limit.",
    )
    spam_header: str = option(
        FIELD_NAME,
        "X-Spam",
        "Spam field",
        "A message goes to the junk folder when this milter adds a field of this name with a value that begins with "
        "yes; rspamd adds “X-Spam: Yes”. Blank: never.",
    )

"""The options of Access Control: who may connect, and how much one client may ask for."""

from datetime import timedelta

from smtpd_classic.config.frozen import frozen_dataclass
from smtpd_classic.config.kinds import (
    BOOLEAN,
    NETWORKS,
    POSITIVE_DURATION,
    Network,
    choice,
    number,
)
from smtpd_classic.config.option import option

__all__ = ["Access"]

_MINUTE = timedelta(minutes=1)


@frozen_dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """The options of [access]."""

    refuse: tuple[Network, ...] = option(NETWORKS, (), "Refuse clients", "Networks that are refused on every port.")
    allow_only: tuple[Network, ...] = option(
        NETWORKS,
        (),
        "Allow only",
        "When not blank, clients of all other networks are refused on every port.",
    )
    auto_block: bool = option(
        BOOLEAN,
        True,
        "Block after failures",
        "Refuse an address for a while after too many failed logins with different passwords, or too many signs of an "
        "attack: unknown or HTTP commands, NUL, commands before EHLO, refused relaying. The same wrong password counts "
        "once. An address with a successful login is exempt: a day for such signs, the window for failed logins. "
        "Trusted Hosts are always exempt.",
    )
    max_failures: int = option(
        number(1, 10000),
        10,
        "Failures before a block",
        "How many failures within the window lead to a block.",
    )
    failure_window: timedelta = option(POSITIVE_DURATION, 10 * _MINUTE, "Failure window", "How long a failure counts.")
    block_time: timedelta = option(POSITIVE_DURATION, 60 * _MINUTE, "Block for", "How long a block lasts.")
    max_connections: int = option(
        number(1, 100000),
        2000,
        "Max. connections",
        "Connections at the same time, in all.",
        restart=True,
    )
    max_connections_per_address: int = option(
        number(1, 100000),
        100,
        "Max. connections per address",
        "Connections at the same time from one IP address (for IPv6, from one /64). Trusted Hosts are exempt.",
    )
    max_commands: int = option(
        number(10, 100000),
        100,
        "Max. commands without a message",
        "Maximum NOOP, VRFY and similar commands since the last message of the session; beyond it the connection is "
        "closed.",
    )
    max_errors: int = option(
        number(1, 10000),
        20,
        "Max. errors",
        "Maximum negative replies in one session; beyond it the connection is closed.",
    )
    idle_timeout: timedelta = option(
        POSITIVE_DURATION,
        5 * _MINUTE,
        "Idle timeout",
        "How long a client may be silent before the connection is closed. A client of a refused network has 30 seconds "
        "at most, for all that it sends.",
    )
    message_timeout: timedelta = option(
        POSITIVE_DURATION,
        60 * _MINUTE,
        "Time for one message",
        "How long the content of one message may take.",
    )
    pipelining: str = option(
        choice("strict", "lenient"),
        "strict",
        "Pipelining of strangers",
        "strict: a client that is neither trusted nor logged in is refused when it sends before the greeting, or more "
        "behind EHLO, DATA or STARTTLS before their reply (RFC 2920), as spammers' programs do. lenient: it is served.",
    )

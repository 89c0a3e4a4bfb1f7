"""The options of outgoing mail: remote delivery, domains that may be relayed, direct delivery, header replacement."""

from datetime import timedelta

from smtpd_classic.config.frozen import frozen_dataclass
from smtpd_classic.config.kinds import (
    ADDRESSES,
    BOOLEAN,
    COMMAND,
    DOMAIN_PATTERNS,
    DURATION,
    HOSTS,
    IP_ADDRESSES,
    NETWORKS,
    OPTIONAL_PATH,
    PORT,
    POSITIVE_DURATION,
    RELAY_HOSTS,
    SECRET,
    SENDER_ADDRESS,
    TEXT,
    Host,
    Network,
    choice,
    number,
    optional_number,
)
from smtpd_classic.config.option import option, required

__all__ = ["Direct", "DirectDomain", "OpenRelay", "Remote", "Replacement", "Trusted"]

_MINUTE = timedelta(minutes=1)


@frozen_dataclass(frozen=True, slots=True, kw_only=True)
class Remote:
    """The options of [remote]."""

    look_up_mx: bool = option(
        BOOLEAN,
        True,
        "Look up DNS MX records",
        "Deliver to the MX hosts of the recipient's domain. Recipients whose domain does not exist are "
        "refused while the user is still connected.",
    )
    relay_when_delivery_fails: bool = option(
        BOOLEAN,
        False,
        "Use relay when delivery fails",
        "When delivery fails for a temporary reason, the relay is used in the same attempt.",
    )
    relay_always: bool = option(
        BOOLEAN,
        False,
        "Use relay always",
        "All mail for other servers goes to the relay, none to the MX hosts of its domain.",
    )
    relay_hosts: tuple[Host, ...] = option(
        RELAY_HOSTS,
        (),
        "Relay address",
        "The relay (smarthost): a host name or IP address, or several, tried in order.",
    )
    relay_port: int = option(PORT, 25, "Relay port", "The port of relay hosts that are written without one.")
    relay_ssl: bool = option(
        BOOLEAN,
        False,
        "Relay: use SSL",
        "Use TLS from the first byte on port 465, and STARTTLS on any other port. Never send mail in the clear.",
    )
    relay_accept_any_certificate: bool = option(
        BOOLEAN,
        False,
        "Relay: accept any certificate",
        "Do not verify the certificate of the relay. The password can then be intercepted.",
    )
    relay_retries: int | None = option(
        optional_number(0, 1000),
        None,
        "Relay: retry attempts",
        "How often delivery through the relay is tried again. The life time in queue ends it too. Blank: the life "
        "time alone.",
    )
    relay_auth: bool = option(
        BOOLEAN,
        False,
        "Relay requires authentication",
        "Log in to the relay. This always requires TLS with a verified certificate; otherwise mail stays queued.",
    )
    relay_user: str = option(TEXT, "", "Relay: user", "The user name at the relay.")
    relay_password: str = option(SECRET, "", "Relay: password", "The password at the relay.")
    relay_password_file: str = option(
        OPTIONAL_PATH,
        "",
        "Relay: file with the password",
        "A file with the password at the relay in its first line, instead of relay_password. It is read at each login; "
        "the service user must be able to read it. A relative name is beside the configuration file.",
    )
    relay_token_command: str = option(
        COMMAND,
        "",
        "Relay: token command",
        "A program, with its arguments, that prints an OAuth access token for the relay. With it the login is XOAUTH2"
        " and the password is not used. No shell is involved. It runs as the service user and is given 30 seconds.",
    )
    relay_mail_from: str = option(
        SENDER_ADDRESS,
        "",
        "Address as mail from",
        "The envelope sender of all mail to the relay. The null sender is kept. Bounces still go to the original "
        "sender.",
    )
    opportunistic_tls: bool = option(
        BOOLEAN,
        True,
        "Use TLS when the remote server offers it",
        "Any certificate is accepted; when the handshake fails, the message is sent in the clear and a line is logged.",
    )
    delivery_threads: int = option(
        number(1, 1000),
        200,
        "Delivery threads",
        "How many messages are sent to other servers at the same time. A connection that is being opened does not "
        "count, nor does a server that makes no progress for 5 seconds; at most four times as many messages may be on "
        "their way. Where 500 hosts take 50 ms for each reply, 40 threads deliver 320 messages a second, 100 and more "
        "600; the memory, about 110 MB, does not grow, because sessions wait less.",
        restart=True,
    )
    max_connections_per_host: int = option(
        number(1, 100),
        20,
        "Connections per host",
        "How many connections are open to one host at the same time, at most, for all domains and addresses of that "
        "host together, and during a reload too. A host starts with 2; each success allows one more, a timeout halves "
        "the number, and a failure leaves 1.",
    )
    max_messages_per_connection: int = option(
        number(1, 100000),
        100,
        "Messages per connection",
        "After how many messages a connection is closed.",
    )
    dead_host_time: timedelta = option(
        DURATION,
        5 * _MINUTE,
        "Remember dead hosts for",
        "The longest time for which a host that could not be reached is not tried again: 1 minute after the first "
        "failure, twice as long after each further one, up to this time, and never longer than the retry interval.",
    )
    connect_timeout: timedelta = option(
        POSITIVE_DURATION,
        timedelta(seconds=30),
        "Connect timeout",
        "How long a host may take to accept a connection. If it has another address of the same preference, that one "
        "is tried beside it after 3 seconds.",
    )
    source_address: tuple[str, ...] = option(
        IP_ADDRESSES,
        (),
        "Connect from",
        "The address of this machine from which connections to other servers are made, one for IPv4 and one for IPv6. "
        "Blank: the system chooses. Its PTR record must lead to the HELO name, or large receivers refuse the mail.",
    )
    ip_versions: str = option(
        choice("auto", "both", "ipv4", "ipv6"),
        "auto",
        "IP versions",
        "The IP versions of connections to hosts with addresses of both. auto: IPv6 is left out while the PTR record "
        "of our own IPv6 address is missing or does not lead back to it, the commonest reason for a refusal of a new "
        "server; a host with IPv6 addresses alone is tried all the same. both: IPv6 first. ipv4 and ipv6: never the "
        "other one. A host that is written as an IP address is always used.",
    )
    srs: bool = option(
        BOOLEAN,
        True,
        "Rewrite the sender of forwarded mail",
        "Mail that an alias sends on to another server leaves with a sender of our own (SRS), so that the other "
        "server's SPF check does not refuse it. Bounces come back through us to the real sender. A sender too long for "
        "that form gets a short one, and is kept in the file srs-senders of the spool folder for three weeks.",
    )


@frozen_dataclass(frozen=True, slots=True, kw_only=True)
class OpenRelay:
    """The options of [open-relay]."""

    domains: tuple[str, ...] = option(
        DOMAIN_PATTERNS,
        (),
        "Domains",
        "Domains that strangers may send to through this server, as a backup MX allows. example.org is that domain "
        "alone, .example.org its sub-domains.",
    )


@frozen_dataclass(frozen=True, slots=True, kw_only=True)
class Trusted:
    """The options of [trusted]."""

    hosts: tuple[Network, ...] = option(
        NETWORKS,
        (),
        "Hosts and networks",
        "Clients that may send without logging in: IP addresses, networks such as 192.0.2.0/24, or the short form "
        "192.168. Limits of size, hops and recipients still hold for them.",
    )


@frozen_dataclass(frozen=True, slots=True, kw_only=True)
class Direct:
    """The options of [direct]."""

    fall_back_to_remote: bool = option(
        BOOLEAN,
        False,
        "Use remote delivery rules when direct delivery fails",
        "When all listed hosts fail for a temporary reason, the options of the remote delivery tab are used.",
    )


@frozen_dataclass(frozen=True, slots=True, kw_only=True)
class DirectDomain:
    """The options of [direct DOMAIN]."""

    name: str
    hosts: tuple[Host, ...] = required(
        HOSTS,
        "Hosts",
        "The servers for this domain, one a line, tried in this order: a name or IP address, :PORT when it is not 25,"
        " ssl for TLS (on port 465 from the first byte, on any other port by STARTTLS), user=NAME and password=SECRET "
        "for a login. A value with blanks or quotation marks is quoted as for a shell.",
    )
    trust_hosts: str = option(
        choice("automatic", "yes", "no"),
        "automatic",
        "Trust these hosts",
        "Whether the hosts may send through this server without logging in. automatic: those written as IP addresses "
        "without a password.",
    )
    open: bool = option(
        BOOLEAN,
        False,
        "Anyone may send to this domain",
        "Accept mail for this domain from strangers, as a gateway in front of another server does. Not together with "
        "a user and password.",
    )
    verify_recipients: bool = option(
        BOOLEAN,
        False,
        "Verify recipients",
        "Ask these hosts at RCPT whether the recipient exists (MAIL FROM:<>, RCPT TO, RSET), so that mail for unknown "
        "users is refused in place of bouncing later. While the hosts do not answer, and when they accept a random "
        "address, mail is accepted unverified, and the log says so. Answers are kept: a known recipient for 7 days, "
        "asked again after one; an unknown one for 10 minutes. Each receiving process has 2 sessions with a host "
        "and asks 20 times a second at most, half of that for one client, one after the other; questions beyond that "
        "wait, and after 5 seconds the client is told to try again. All sections with the same hosts share this.",
    )
    accept_any_certificate: bool = option(
        BOOLEAN, False, "Accept any certificate", "Do not verify the certificates of these hosts."
    )


@frozen_dataclass(frozen=True, slots=True, kw_only=True)
class Replacement:
    """The options of [replace ADDRESS]."""

    name: str
    addresses: tuple[str, ...] = required(
        ADDRESSES, "Replaced addresses", "The addresses to be replaced, parted by “;”."
    )
    local: bool = option(BOOLEAN, False, "For local", "Replace in copies for recipients on this server.")
    remote: bool = option(BOOLEAN, True, "For remote", "Replace in copies for recipients on other servers.")
    envelope_sender: bool = option(
        BOOLEAN,
        False,
        "Also the envelope sender",
        "Replace the envelope sender too, on the way to other servers.",
    )

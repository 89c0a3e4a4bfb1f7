"""Every option of smtpd-classic, once: its name, kind, default, label and the manual's words for it.

Adding an option is one declaration here and the code that reads it. The file's sections are listed in `SECTIONS`, in the
order of the sample file, the manual and the tabs.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from smtpd_classic.config.kinds import (
    ADDRESSES,
    BOOLEAN,
    COMMAND,
    DOMAIN_NAME,
    DOMAIN_PATTERNS,
    DOMAINS,
    DURATION,
    FACTOR,
    HOSTS,
    IP_ADDRESSES,
    LOG_TARGET,
    NAME_SERVERS,
    NETWORKS,
    OPTIONAL_DOMAIN_NAME,
    PATH,
    PATTERN,
    PORT,
    POSITIVE_DURATION,
    RELAY_HOSTS,
    REPLACEMENT,
    SECRET,
    SENDER_ADDRESS,
    SIZE,
    SYSTEM_USER,
    TEXT,
    WORD,
    Host,
    Network,
    choice,
    number,
    optional_number,
)
from smtpd_classic.config.option import Section, option, required

__all__ = [
    "SECTIONS",
    "Access",
    "Basic",
    "Config",
    "Direct",
    "DirectDomain",
    "Domain",
    "Listener",
    "OpenRelay",
    "Remote",
    "Replacement",
    "Server",
    "Trusted",
    "section_of",
]

_MINUTE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    primary_domain: str = required(
        DOMAIN_NAME,
        "Primary domain",
        "The domain of this server. It gives the HELO name and the postmaster their defaults and completes a login that is "
        "written without “@”. It is a local domain, also without a section of its own.",
    )
    workers: int = option(
        number(0, 64),
        0,
        "Receiving processes",
        "How many processes receive mail. 0 starts one for each processor core. 1 runs everything, receiving and "
        "delivering, in one process, which suits tiny machines and debugging.",
        restart=True,
    )
    user: str = option(
        SYSTEM_USER,
        "smtpdc",
        "Service user",
        "The system user that owns the spool and all mailboxes. A server started as root binds its ports and then becomes "
        "this user for good. Not used when the server is started by an ordinary user.",
        restart=True,
    )
    spool_folder: str = option(
        PATH,
        "/var/spool/smtpd-classic",
        "Spool folder",
        "Where messages wait. It must be on a local file system.",
        restart=True,
    )
    mail_folder: str = option(
        PATH,
        "/var/mail/smtpd-classic",
        "Mail folder",
        "Where the Maildirs are, as DOMAIN/USER below this folder.",
        restart=True,
    )
    run_folder: str = option(
        PATH,
        "/run/smtpd-classic",
        "Run folder",
        "Where the processes keep what they share while they run: status, counters, blocked addresses and the socket for "
        "local submission.",
        restart=True,
    )
    users_file: str = option(
        PATH,
        "users",
        "Users file",
        "The accounts, in the form of a Dovecot passwd-file. A relative name is beside the configuration file.",
    )
    aliases_file: str = option(
        PATH,
        "aliases",
        "Aliases file",
        "The aliases, in the form of aliases(5) without programs, files and includes. A relative name is beside the "
        "configuration file.",
    )
    certificate: str = option(
        PATH,
        "tls/certificate.pem",
        "Certificate file",
        "The certificate chain for TLS, in PEM form, the server's own certificate first. It is read again when it changes. "
        "When neither this file nor the key exists, a self-signed pair is made at the first start. A relative name is "
        "beside the configuration file.",
    )
    private_key: str = option(
        PATH,
        "tls/key.pem",
        "Private key file",
        "The private key of the certificate, in PEM form, readable by the service user and nobody else.",
    )
    log: str = option(
        LOG_TARGET,
        "syslog",
        "Log to",
        "Where log lines go: syslog (facility mail), stderr, or the absolute name of a file, which is opened again when it "
        "has been rotated.",
    )
    name_servers: tuple[tuple[str, int], ...] = option(
        NAME_SERVERS,
        (),
        "Name servers",
        "The DNS servers to ask. Blank means those of /etc/resolv.conf.",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    name: str
    address: tuple[str, ...] = option(
        IP_ADDRESSES,
        ("0.0.0.0", "::"),
        "Addresses",
        "The IP addresses to listen on; 0.0.0.0 and :: mean all.",
    )
    port: int = required(PORT, "Port", "The TCP port: 25 for other servers, 587 and 465 for users.")
    tls: str = option(
        choice("none", "starttls", "implicit"),
        "starttls",
        "TLS",
        "none: never; starttls: offered after the greeting (ports 25 and 587); implicit: from the first byte (port 465).",
    )
    auth: str = option(
        choice("none", "offered", "required"),
        "none",
        "Login",
        "none: clients cannot log in; offered: they may; required: a client that is neither logged in nor trusted cannot send "
        "anything (ports 587 and 465).",
    )
    proxy_protocol: tuple[Network, ...] = option(
        NETWORKS,
        (),
        "PROXY protocol from",
        "Load balancers that announce the real client with the PROXY protocol, version 1 or 2. Connections from them must "
        "begin with it, connections from elsewhere are refused. Blank: no PROXY protocol on this port.",
    )
    refuse: tuple[Network, ...] = option(
        NETWORKS,
        (),
        "Refuse clients",
        "Networks that are refused on this port, besides those of the access tab.",
    )
    allow_only: tuple[Network, ...] = option(
        NETWORKS,
        (),
        "Allow only",
        "When not blank, clients of all other networks are refused on this port.",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Domain:
    name: str
    aliases: tuple[str, ...] = option(
        DOMAINS,
        (),
        "Domain aliases",
        "Other names of this domain: the same mailboxes under each of them.",
    )
    catch_all: str = option(
        SENDER_ADDRESS,
        "",
        "Catch-all address",
        "The address that gets mail for every address of this domain that exists neither as an account nor as an alias. "
        "Blank: such mail is refused.",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Basic:
    postmaster: str = option(
        SENDER_ADDRESS,
        "",
        "Postmaster mailbox",
        "The address that bounces come from and that gets double bounces and notices. It must be a local address or one that "
        "can be reached. Blank: postmaster at the primary domain. Mail for postmaster at any local domain always reaches it.",
    )
    copy_bounces: str = option(
        choice("none", "headers", "full"),
        "headers",
        "Copy bounces to postmaster",
        "Whether the postmaster gets a copy of each bounce: none, with the headers of the original message, or in full.",
    )
    helo_name: str = option(
        OPTIONAL_DOMAIN_NAME,
        "",
        "HELO/EHLO host name",
        "The name of this host in the banner, in our own EHLO, in Received and Message-ID and in bounces. Blank: the primary "
        "domain. Other servers expect it to resolve to the address that they see.",
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
        "defer: excess recipients get 452 and those already accepted stay; reject: 550, and the whole message is refused; "
        "automatic: reject for users who have logged in, who would not notice a partial delivery, defer for others.",
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
        "The size of a message for local recipients from a client that is neither trusted nor logged in. 0: no limit of its "
        "own.",
    )
    max_outgoing_size: int = option(
        SIZE,
        0,
        "Max. outgoing size",
        "The size of a message for recipients on other servers. 0: no limit of its own. The smallest limit wins.",
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
        "Strangers may send only to local domains, Open Relay Domains and direct domains that are marked open. Off: anybody "
        "may send anything to anybody through this server, which will soon be used for spam and blocked by others.",
    )
    open_relay_confirmed: bool = option(
        BOOLEAN,
        False,
        "Open relay is wanted",
        "Without this confirmation, a configuration that is an open relay is refused, unless all listeners are loopback.",
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
        "Users who have logged in can only send from their own addresses, in the envelope and in the From and Sender headers: "
        "the login, its plus-addresses, aliases that lead to it alone, and what it may send as.",
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
        "Outlook's winmail.dat is replaced by the text and the attachments that it holds, in mail delivered here and in mail "
        "that our users send. Signed and encrypted mail, and what cannot be converted whole, stays as it came.",
    )
    allow_tls: bool = option(
        BOOLEAN,
        True,
        "Allow SSL/TLS",
        "Offer STARTTLS and open the ports with implicit TLS, as the listeners say. Off: no TLS at all, and users can only "
        "log in when login without TLS is allowed.",
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
    bare_line_feeds: str = option(
        choice("normalise", "reject"),
        "normalise",
        "Bare line feeds",
        "What to do with a message that holds CR or LF alone, or NUL: normalise makes whole line ends of them (and drops "
        "NUL), reject refuses the message. Neither ever ends it early.",
    )
    min_free_space: int = option(
        SIZE,
        100 * 1024**2,
        "Minimum free space",
        "When less is free on the disk of the spool or of the mail folder, senders are asked to come back later.",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Remote:
    look_up_mx: bool = option(
        BOOLEAN,
        True,
        "Look up DNS MX records",
        "Deliver to the hosts that DNS names for the recipient's domain. Recipients whose domain does not exist are refused "
        "while the user is still connected.",
    )
    relay_when_delivery_fails: bool = option(
        BOOLEAN,
        False,
        "Use relay when delivery fails",
        "What could not be delivered for a reason that may pass is handed to the relay in the same attempt.",
    )
    relay_always: bool = option(
        BOOLEAN,
        False,
        "Use relay always",
        "All mail for other servers goes to the relay, none to the hosts that DNS names.",
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
        "On port 465 TLS from the first byte, on any other port STARTTLS. Never in the clear when on.",
    )
    relay_accept_any_certificate: bool = option(
        BOOLEAN,
        False,
        "Relay: accept any certificate",
        "Do not verify the certificate of the relay. Whoever is between can then read the password.",
    )
    relay_retries: int | None = option(
        optional_number(0, 1000),
        None,
        "Relay: retry attempts",
        "How often delivery through the relay is tried again; what comes first, this or the life time, ends it. Blank: the "
        "life time alone.",
    )
    relay_auth: bool = option(
        BOOLEAN,
        False,
        "Relay requires authentication",
        "Log in to the relay. This always means verified TLS; without it mail waits rather than go out.",
    )
    relay_user: str = option(TEXT, "", "Relay: user", "The user name at the relay.")
    relay_password: str = option(SECRET, "", "Relay: password", "The password at the relay.")
    relay_token_command: str = option(
        COMMAND,
        "",
        "Relay: token command",
        "A program, with its arguments, that prints an OAuth access token for the relay. With it the login is XOAUTH2 and the "
        "password is not used. No shell is involved. It runs as the service user and is given 30 seconds.",
    )
    relay_mail_from: str = option(
        SENDER_ADDRESS,
        "",
        "Address as mail from",
        "Replaces the envelope sender on the way to the relay. The null sender stays. Bounces still go to the real sender.",
    )
    opportunistic_tls: bool = option(
        BOOLEAN,
        True,
        "Use TLS when the remote server offers it",
        "Any certificate will do; when the handshake fails, the message goes in the clear, and the log says so.",
    )
    delivery_threads: int = option(
        number(1, 1000),
        40,
        "Delivery threads",
        "How many deliveries run at the same time.",
        restart=True,
    )
    max_connections_per_host: int = option(
        number(1, 100),
        10,
        "Connections per host",
        "How many connections are open to one destination at the same time.",
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
        "A host that could not be reached is not tried again for this long.",
    )
    connect_timeout: timedelta = option(
        POSITIVE_DURATION,
        timedelta(seconds=30),
        "Connect timeout",
        "How long a host may take to accept a connection.",
    )
    srs: bool = option(
        BOOLEAN,
        True,
        "Rewrite the sender of forwarded mail",
        "Mail that an alias sends on to another server leaves with a sender of our own (SRS), so that the other server's SPF "
        "check does not refuse it. Bounces come back through us to the real sender.",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenRelay:
    domains: tuple[str, ...] = option(
        DOMAIN_PATTERNS,
        (),
        "Domains",
        "Domains that anybody may send to through this server, as a backup MX does. example.org is that domain alone, "
        ".example.org its sub-domains.",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Trusted:
    hosts: tuple[Network, ...] = option(
        NETWORKS,
        (),
        "Hosts and networks",
        "Clients that may send without logging in: IP addresses, networks such as 192.0.2.0/24, or the short form 192.168. "
        "Limits of size, hops and recipients still hold for them.",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Direct:
    fall_back_to_remote: bool = option(
        BOOLEAN,
        False,
        "Use remote delivery rules when direct delivery fails",
        "What none of the listed hosts took, for a reason that may pass, is delivered as the remote delivery tab says.",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectDomain:
    name: str
    hosts: tuple[Host, ...] = required(
        HOSTS,
        "Hosts",
        "The servers for this domain, one a line, tried in this order: a name or IP address, :PORT when it is not 25, ssl for "
        "TLS, user=NAME and password=SECRET for a login.",
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
        "Accept mail for this domain from strangers, as a gateway in front of another server does. Not together with a "
        "user and password.",
    )
    accept_any_certificate: bool = option(
        BOOLEAN, False, "Accept any certificate", "Do not verify the certificates of these hosts."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Replacement:
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
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
        "Refuse an address for a while after too many failed logins with different passwords, or too many protocol errors. "
        "The same wrong password again and again counts once. Trusted Hosts are exempt.",
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
        "NOOP, VRFY and other commands that lead to nothing, since the last message of the session; over it the connection is "
        "closed.",
    )
    max_errors: int = option(
        number(1, 10000),
        20,
        "Max. errors",
        "Negative replies in one session; over it the connection is closed.",
    )
    idle_timeout: timedelta = option(
        POSITIVE_DURATION,
        5 * _MINUTE,
        "Idle timeout",
        "How long a client may be silent before the connection is closed.",
    )
    message_timeout: timedelta = option(
        POSITIVE_DURATION,
        60 * _MINUTE,
        "Time for one message",
        "How long the content of one message may take.",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Everything that the file says. It never changes; a reload makes another one (invariant 8).

    `path` is the absolute name of the file and `digest` the SHA-256 of its bytes in hexadecimal. File and folder names in it
    are absolute already. `lines` keeps where each option was set, for complaints: {(title, option): line}.
    """

    path: str
    digest: str
    server: Server
    listeners: tuple[Listener, ...] = ()
    domains: tuple[Domain, ...] = ()
    basic: Basic = Basic()
    remote: Remote = Remote()
    open_relay: OpenRelay = OpenRelay()
    trusted: Trusted = Trusted()
    direct: Direct = Direct()
    direct_domains: tuple[DirectDomain, ...] = ()
    replacements: tuple[Replacement, ...] = ()
    access: Access = Access()
    lines: Mapping[tuple[str, str], int] = field(default_factory=dict, repr=False, compare=False)

    def line(self, title: str, name: str = "") -> int:
        """The line of an option, else of its section, else 0; the title of a table row is `word NAME`."""
        return self.lines.get((title, name)) or self.lines.get((title, ""), 0)

    @property
    def helo_name(self) -> str:
        return self.basic.helo_name or self.server.primary_domain

    @property
    def postmaster(self) -> str:
        return self.basic.postmaster or f"postmaster@{self.server.primary_domain}"


SECTIONS = (
    Section("server", "server", Server, "Server", "What the server is and where it keeps things."),
    Section(
        "listener",
        "listeners",
        Listener,
        "Listeners & TLS",
        "A port to listen on; one section each.",
        WORD,
    ),
    Section("domain", "domains", Domain, "Domains", "A local domain; one section each.", DOMAIN_NAME),
    Section("basic", "basic", Basic, "Basic Parameters", "Names, limits and the rules for senders."),
    Section("remote", "remote", Remote, "Remote Delivery", "How mail leaves for other servers."),
    Section(
        "open-relay",
        "open_relay",
        OpenRelay,
        "Open Relay Domains",
        "Domains that anybody may send to.",
    ),
    Section("trusted", "trusted", Trusted, "Trusted Hosts", "Clients that need no login."),
    Section("direct", "direct", Direct, "Direct Delivery", "Domains with servers of their own."),
    Section(
        "direct",
        "direct_domains",
        DirectDomain,
        "Direct Delivery",
        "The servers of one domain, or of the sub-domains of .DOMAIN; one section each, and the first that matches counts.",
        PATTERN,
    ),
    Section(
        "replace",
        "replacements",
        Replacement,
        "Mail Header Replace",
        "Replaces addresses in From, Sender and Reply-To of mail that originates here by the address in the section's name; "
        "one section each, and the first that matches counts.",
        REPLACEMENT,
    ),
    Section(
        "access",
        "access",
        Access,
        "Access Control",
        "Who may connect, and how much one client may ask for.",
    ),
)


def section_of(word: str, *, named: bool) -> Section:
    """The section of `[word]`, or of `[word NAME]` when named. Raises KeyError when there is none."""
    found = next((each for each in SECTIONS if each.word == word and each.is_table == named), None)
    if found is None:
        raise KeyError(word)
    return found

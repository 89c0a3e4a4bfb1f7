"""The options of a listener: its place, its TLS and login, and its clients."""

from dataclasses import field

from smtpd_classic.config.frozen import frozen_dataclass
from smtpd_classic.config.kinds import IP_ADDRESSES, NETWORKS, OPTIONAL_PATH, PORT, Network, choice
from smtpd_classic.config.option import option, required

__all__ = ["Listener"]


@frozen_dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """The options of [listener NAME]."""

    name: str
    address: tuple[str, ...] = option(
        IP_ADDRESSES, ("0.0.0.0", "::"), "Addresses", "The IP addresses to listen on; 0.0.0.0 and :: mean all."
    )
    port: int = required(
        PORT,
        "Port",
        "The TCP port: 25 for other servers, 587 and 465 for users. Every listener needs it; only [listener lmtp] can "
        "have a socket in its place.",
        unless="socket",
        instead=0,
    )
    socket: str = option(
        OPTIONAL_PATH,
        "",
        "Unix socket",
        "For [listener lmtp] alone, which speaks LMTP (RFC 2033) with another mail server of this machine, such as "
        "Postfix: the socket to listen at. The service user makes it, so its folder must be writable for that user. "
        "Members of the socket's group may connect: the group of the service user, or that of a folder with the "
        "set-group-ID bit. In its place or beside it the listener may have a port on loopback addresses, never port "
        "25. It takes mail for local recipients alone and answers each one after the content: 550 for an unknown "
        "user, 452 for a full mailbox. It has neither TLS nor a login, and it signs, checks, limits and filters "
        "nothing: its client did that.",
    )
    tls: str = option(
        choice("none", "starttls", "implicit"),
        "starttls",
        "TLS",
        "none: never; starttls: offered after the greeting (ports 25 and 587); implicit: from the first byte (port "
        "465).",
    )
    auth: str = option(
        choice("none", "offered", "required"),
        "none",
        "Login",
        "none: clients cannot log in; offered: they may; required: a client that is neither logged in nor trusted "
        "cannot send anything (ports 587 and 465).",
    )
    tls_ciphers: str = option(
        choice("modern", "intermediate", "old"),
        "intermediate",
        "TLS ciphers",
        "The cipher suites. modern: TLS 1.3, and TLS 1.2 with ECDHE and AEAD (AES-GCM, ChaCha20). intermediate: DHE "
        "with AEAD too, and where other servers deliver (STARTTLS, login not required) ECDHE with CBC, because a "
        "server without a common cipher would send in the clear. old: also TLS 1.0 and 1.1, AES with CBC and RSA key "
        "exchange, for old printers and programs. DHE and RSA key exchange need an RSA certificate.",
    )
    proxy_protocol: tuple[Network, ...] = option(
        NETWORKS,
        (),
        "PROXY protocol from",
        "Load balancers that announce the real client with the PROXY protocol, version 1 or 2. Connections from them "
        "must begin with it, connections from elsewhere are refused. Blank: no PROXY protocol on this port. The log "
        "names a client that sends a PROXY header where none is expected; that is no step towards a block.",
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

    given_tls: str = field(init=False, default="", repr=False, compare=False)
    """`tls` as it was given. The check complains if the file gives [listener lmtp] any."""

    is_lmtp: bool = field(init=False, default=False, repr=False, compare=False)
    """Whether it speaks LMTP with another mail server of this machine."""

    def __post_init__(self) -> None:
        """LMTP has no STARTTLS, and without a port there is no address to listen on."""
        object.__setattr__(self, "given_tls", self.tls)
        object.__setattr__(self, "is_lmtp", self.name == "lmtp")
        if self.is_lmtp and self.tls == "starttls":
            object.__setattr__(self, "tls", "none")
        if self.is_lmtp and not self.port:
            object.__setattr__(self, "address", ())

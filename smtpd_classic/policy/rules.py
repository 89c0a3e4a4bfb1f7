"""The data that the checks of one listener use: made once for a configuration, never changed."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from smtpd_classic.accounts import Accounts
from smtpd_classic.config.check_domains import local_domains
from smtpd_classic.config.kinds import Network
from smtpd_classic.config.schema import Config, DirectDomain, Listener
from smtpd_classic.counters import CounterStore
from smtpd_classic.dns import Resolver
from smtpd_classic.domain_name import ascii_domain
from smtpd_classic.domain_patterns import DomainPatterns
from smtpd_classic.filters.tools import FilterTools
from smtpd_classic.interfaces import is_interface_address
from smtpd_classic.milter.session import FilterClient
from smtpd_classic.policy.hosts import HostPatterns
from smtpd_classic.policy.networks import Networks, plain_ip
from smtpd_classic.policy.trust import Trust

__all__ = ["PolicySources", "Rules", "Verify", "no_verifier", "not_counted", "not_verified", "rules_for"]

Verify = Callable[[str, str, str], str]


def not_verified(direct: str, address: str, client: str) -> str:
    """Return blank: no domain verifies its recipients."""
    return ""


def no_verifier(shared: object) -> Verify:
    return not_verified


def not_counted(ip: str) -> int:
    """Return 0: the connections of clients are not counted."""
    return 0


class PolicySources(NamedTuple):
    """Facts from outside the policy: octets used by a Maildir, octets free where mail is written, whether an address is
    blocked, the real address behind an SRS address of this server (None if it is none), the sending counters, those
    of greylisting, the secret of this server, made at first use, the milters, the result of asking the servers of a
    direct domain, or of mailboxes, about an address for a client (a value of `client.verified.Verification`, or blank),
    and the number of open connections of a client."""

    quota_used: Callable[[str, str], int]
    free_bytes: Callable[[], int]
    blocked: Callable[[str], bool]
    reverse_srs: Callable[[str], str | None]
    counters: CounterStore
    greylist: CounterStore
    secret: Callable[[], bytes]
    milters: tuple[FilterClient, ...] = ()
    verify: Verify = not_verified
    connections_of: Callable[[str], int] = not_counted


@dataclass(frozen=True, slots=True)
class Rules:
    config: Config
    listener: Listener
    accounts: Accounts
    dns: Resolver
    sources: PolicySources
    trust: Trust
    refuse: tuple[tuple[str, Networks], ...]
    allow_only: tuple[tuple[str, Networks], ...]
    """Each with the section in which it stands; a client must be in all that are not blank."""
    open_relay: DomainPatterns
    direct: DomainPatterns
    direct_domains: dict[str, DirectDomain]
    forwarders: HostPatterns
    own_domains: frozenset[str]
    """All local domains in A-labels."""
    lmtp: bool
    archives: bool
    """Whether any address is to get copies of messages."""
    parts: bool
    """Whether a message may need parts of its own: for groups, archives or approvals."""
    signs: Callable[[str], bool]
    """Whether a domain has a key in use."""
    filter: FilterTools

    def own_literal(self, domain: str) -> bool:
        """Return True if an address literal (`[192.0.2.1]`, `[IPv6:2001:db8::1]`) names this server."""
        text = domain.strip("[]")
        ip = plain_ip(text[5:] if text[:5].lower() == "ipv6:" else text)
        if ip is None:
            return False
        listening = {plain_ip(each) for listener in self.config.listeners for each in listener.address}
        if ip in listening or ip in {plain_ip(each) for each in self.config.server.public_addresses}:
            return not ip.is_unspecified
        return any(each is not None and each.is_unspecified for each in listening) and is_interface_address(str(ip))

    def direct_domain(self, domain: str) -> DirectDomain | None:
        """Return the `[direct …]` section for the domain."""
        found = self.direct.find(domain)
        return self.direct_domains[found] if found else None


def rules_for(
    config: Config,
    listener: Listener,
    accounts: Accounts,
    dns: Resolver,
    sources: PolicySources,
    trust: Trust,
    tools: FilterTools,
    signs: Callable[[str], bool] = lambda domain: False,
) -> Rules:
    place = f"listener {listener.name}"
    return Rules(
        config=config,
        listener=listener,
        accounts=accounts,
        dns=dns,
        sources=sources,
        trust=trust,
        refuse=_lists(("access", config.access.refuse), (place, listener.refuse)),
        allow_only=_lists(("access", config.access.allow_only), (place, listener.allow_only)),
        open_relay=DomainPatterns(config.open_relay.domains),
        direct=DomainPatterns(each.name for each in config.direct_domains),
        direct_domains={each.name: each for each in config.direct_domains},
        forwarders=HostPatterns(config.authentication.trusted_forwarders),
        own_domains=frozenset(ascii_domain(name) for name in local_domains(config)),
        lmtp=listener.is_lmtp,
        archives=_has_archives(config),
        parts=_has_archives(config) or bool(config.groups or config.approvals),
        signs=signs,
        filter=tools,
    )


def _has_archives(config: Config) -> bool:
    sections = (config.archive.incoming, config.archive.outgoing)
    return any(sections) or any(each.archive_incoming or each.archive_outgoing for each in config.domains)


def _lists(*lists: tuple[str, tuple[Network, ...]]) -> tuple[tuple[str, Networks], ...]:
    return tuple((place, Networks(networks)) for place, networks in lists if networks)

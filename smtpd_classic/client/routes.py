"""The choice of a transport for each recipient, by the options of remote delivery.

Routes are not stored in the queue: every attempt chooses them anew.
"""

from collections.abc import Callable
from typing import NamedTuple

from smtpd_classic.client.fallback import FallbackTransport
from smtpd_classic.client.lmtp import lmtp_servers
from smtpd_classic.client.mx import MxTransport
from smtpd_classic.client.network import Encryption, Network
from smtpd_classic.client.relay import direct_hosts, smarthost
from smtpd_classic.client.transport import Action, DeliveryJob, Outcome, Settle, Transport
from smtpd_classic.config.kinds import MAILDIRS, MailboxPlace
from smtpd_classic.config.schema import Config, DirectDomain
from smtpd_classic.domain_patterns import DomainPatterns
from smtpd_classic.smtp.address import split_address
from smtpd_classic.smtp.reply import Reply

__all__ = ["Route", "Routes", "direct_domain_for"]


class Route(NamedTuple):
    """The route of a recipient.

    Recipients with the same `destination` may share a session. `local`: into a mailbox of a local domain. `lmtp`: that
    mailbox is on another server. `relay_only`: there is no other route when the tries through the relay are used up.
    """

    destination: str
    transport: Transport
    local: bool = False
    relay_only: bool = False
    lmtp: bool = False

    @property
    def on_disk(self) -> bool:
        """Return True for a mailbox of this server, which needs no session."""
        return self.local and not self.lmtp

    @property
    def program(self) -> str:
        """Return the word for the log, as Postfix has it."""
        return "lmtp" if self.lmtp else "local" if self.local else "smtp"


class _Nowhere:
    """The transport of an internal server, which uses neither MX records nor a relay: the mail bounces at once."""

    def deliver(self, job: DeliveryJob, settle: Settle) -> None:
        words = "this server sends to its own and to direct domains only: it uses neither MX records nor a relay"
        settle(job.all(Outcome("", Action.FAILED, Reply(550, "5.4.4", words))))


class Routes:
    def __init__(
        self,
        config: Config,
        network: Network,
        mailboxes: Transport,
        is_local_domain: Callable[[str], bool],
        place_of: Callable[[str], MailboxPlace] = lambda domain: MAILDIRS,
    ) -> None:
        """`place_of` returns the place of the mailboxes of a local domain."""
        self._config = config
        self._network = network
        self._place_of = place_of
        self._lmtp: dict[MailboxPlace, Route] = {}
        self._mailboxes = mailboxes
        self._is_local_domain = is_local_domain
        remote = config.remote
        encryption = Encryption.OFFERED if remote.opportunistic_tls else Encryption.NEVER
        self._mx = MxTransport(network, encryption)
        self._relay = smarthost(remote, network, signs=config.signing.sign_relayed)
        self._direct = DomainPatterns([direct.name for direct in config.direct_domains])
        self._direct_hosts: dict[str, Transport] = {
            direct.name: direct_hosts(direct, remote, network) for direct in config.direct_domains
        }

    def route(self, address: str, *, relay_exhausted: bool = False) -> Route:
        """Return the route to `address`; with `relay_exhausted`, avoid the relay if there is another route."""
        _, domain = split_address(address)
        if not domain or self._is_local_domain(domain):
            return self._mailbox(domain)
        section = self._direct.find(domain)
        if not section:
            return self._remote(domain, relay_exhausted=relay_exhausted)
        transport = self._direct_hosts[section]
        if self._config.direct.fall_back_to_remote:
            rules = self._remote(domain, relay_exhausted=relay_exhausted)
            if not (rules.relay_only and relay_exhausted):
                transport = FallbackTransport(transport, rules.transport)
        return Route(f"direct {section}", transport)

    def _mailbox(self, domain: str) -> Route:
        place = self._place_of(domain)
        if place.is_maildir:
            return Route("local", self._mailboxes, local=True)
        found = self._lmtp.get(place)
        if found is None:
            found = Route(str(place), lmtp_servers(place, self._network), local=True, lmtp=True)
            self._lmtp[place] = found
        return found

    def _remote(self, domain: str, *, relay_exhausted: bool) -> Route:
        """Return the route by the rules of remote delivery."""
        remote = self._config.remote
        if remote.relay_always or (remote.relay_when_delivery_fails and not remote.look_up_mx):
            return Route("relay", self._relay, relay_only=True)
        if not remote.look_up_mx:
            return Route("nowhere", _Nowhere())
        if remote.relay_when_delivery_fails and not relay_exhausted:
            return Route(f"mx {domain}", FallbackTransport(self._mx, self._relay))
        return Route(f"mx {domain}", self._mx)


def direct_domain_for(config: Config, domain: str) -> DirectDomain | None:
    """Return the direct domain whose hosts get the mail for `domain`."""
    sections = {each.name: each for each in config.direct_domains}
    return sections.get(DomainPatterns(sections).find(domain))

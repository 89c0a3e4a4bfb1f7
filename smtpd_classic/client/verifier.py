"""The question whether a recipient of a direct domain, or of a mail store, exists. Its server is asked at RCPT, so that
a gateway refuses unknown users in place of sending bounces (RFC 5321 3.6.2).

Rule 1: only 550, 551, 553 and 5.1.x to RCPT mean that the recipient is unknown.
Rule 2: a server that cannot be reached, or that refuses the question, verifies nothing: the mail is accepted.
Rule 3: a server that accepts a random address accepts every address, so it is not asked for a while.
Rule 4: all sections with the same server share its turns, which no client can use up.
"""

import secrets
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

from smtpd_classic.client.inner_server import InnerServer, NoTurn, ServerRests
from smtpd_classic.client.lmtp import lmtp_targets
from smtpd_classic.client.network import Network, Target
from smtpd_classic.client.not_ready import NotReady
from smtpd_classic.client.relay import direct_hosts
from smtpd_classic.client.separate_network import separate_network
from smtpd_classic.client.verified import MOST_RECIPIENTS, KnownFor, SharedAnswers, Verification, VerifiedRecipients
from smtpd_classic.client.wire import ConnectionLost
from smtpd_classic.config.kinds import MailboxPlace
from smtpd_classic.config.schema import Config, DirectDomain
from smtpd_classic.dns import Resolver
from smtpd_classic.smtp.reply import Reply

__all__ = ["AskedSection", "RecipientVerifier", "Verification", "direct_section", "mailbox_section", "verifications"]

_RANDOM_S = 3600.0
_KEPT = {Verification.KNOWN.value, Verification.UNKNOWN.value}
_ACCEPTS_ALL = "accepts all"
_RANDOM_SAID_S = 60.0  # strangers can invent domains: the log has no line for each
_UNKNOWN_CODES = (550, 551, 553)
_FULL = frozenset({"4.2.2", "5.2.2"})
_OF_MAILBOXES = KnownFor(fresh=60.0)  # a question to a server beside this one costs little, and a mailbox fills up


class AskedSection(NamedTuple):
    """A section of the configuration: its name in the log, and the servers to ask, in order. `domains` is the number of
    local domains whose mailboxes they hold, 0 for a direct domain."""

    name: str
    targets: tuple[Target, ...]
    domains: int = 0


def direct_section(config: Config, direct: DirectDomain, network: Network) -> AskedSection:
    """Return the hosts of a direct domain."""
    return AskedSection(direct.name, direct_hosts(direct, config.remote, network).hosts)


def mailbox_section(config: Config, place: MailboxPlace) -> AskedSection:
    """Return the LMTP servers of mailboxes."""
    return AskedSection(str(place), lmtp_targets(place), domains=1 + len(config.domains))


class RecipientVerifier:
    """The answers of one section to this process. Thread-safe."""

    def __init__(
        self,
        section: AskedSection,
        server: InnerServer,
        complain: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
        shared: SharedAnswers | None = None,
    ) -> None:
        self._shared = shared
        self._name = section.name
        self._is_mail_store = section.domains > 0
        self._server = server
        self._complain = complain
        self._clock = clock
        self._lifetimes = _OF_MAILBOXES if self._is_mail_store else KnownFor()
        self._recipients = VerifiedRecipients(self._lifetimes, MOST_RECIPIENTS * max(section.domains, 1))
        self._lock = threading.Lock()
        self._said = ""
        self._has_failed = False
        self._random_said_at = -_RANDOM_SAID_S

    def verify(self, address: str, client: str) -> Verification:
        """Return the result for an address in a question of a client, from memory where it is fresh."""
        now = self._clock()
        key = address.lower()
        known, is_fresh = self._recipients.find(key, now)
        if not is_fresh and self._shared is not None:
            self._take_over(self._shared, key, client, now)
            known, is_fresh = self._recipients.find(key, now)
        if known is not None and is_fresh:
            return known
        if self._recipients.accepts_all(key.rpartition("@")[2], now):
            return Verification.UNSURE
        result = self._ask(address, client)
        if result is Verification.UNKNOWN or (result is Verification.KNOWN and self._is_selective(key, client, now)):
            self._recipients.keep(key, result, client, now)
            if self._shared is not None:
                is_known = result is Verification.KNOWN
                lifetime_s = self._lifetimes.known if is_known else self._lifetimes.unknown
                self._shared.keep(f"{self._name} {key}", result.value, lifetime_s)
        elif known is not None and result is not Verification.FULL:
            return known
        return result

    def _take_over(self, shared: SharedAnswers, address: str, client: str, now: float) -> None:
        """Take over the answers of another server: about the address, else about its domain."""
        found = shared.find(f"{self._name} {address}")
        if found is not None and found[0] in _KEPT:
            self._recipients.keep(address, Verification(found[0]), client, now - found[1])
            return
        domain = address.rpartition("@")[2]
        state = shared.find(f"{self._name} @{domain}") if self._recipients.accepts_all(domain, now) is None else None
        if state is not None:
            until = now - state[1] + _RANDOM_S
            self._recipients.keep_domain(domain, client, until, accepts_all=state[0] == _ACCEPTS_ALL)

    def _is_selective(self, address: str, client: str, now: float) -> bool:
        """Return False if the server accepts a random address at the same domain, which is asked once an hour."""
        domain = address.rpartition("@")[2]
        accepts_all = self._recipients.accepts_all(domain, now)
        if accepts_all is None:
            found = self._ask(f"{secrets.token_hex(10)}@{domain}", client)
            accepts_all = found is Verification.KNOWN
            if found in {Verification.KNOWN, Verification.UNKNOWN}:
                self._recipients.keep_domain(domain, client, now + _RANDOM_S, accepts_all=accepts_all)
                if self._shared is not None:
                    self._shared.keep(f"{self._name} @{domain}", _ACCEPTS_ALL if accepts_all else "", _RANDOM_S)
        if accepts_all and now >= self._random_said_at + _RANDOM_SAID_S:
            self._random_said_at = now
            self._say(f"it accepts a random address at {domain}, so the recipients there are not verified")
        return not accepts_all

    def _say(self, words: str) -> None:
        """Write a warning into the log, once until the words change."""
        with self._lock:
            is_new, self._said = words != self._said, words
        if is_new and words:
            self._complain(f"verification of recipients of {self._name}: {words}")

    def _ask(self, address: str, client: str) -> Verification:
        try:
            # Mailboxes of this server have an account here, which is known to exist.
            reply, command = self._server.ask(address, client, is_paced=not self._is_mail_store)
        except NoTurn:
            return Verification.UNSURE if self._is_mail_store else Verification.LATER
        except ServerRests:
            return Verification.UNSURE
        except (ConnectionLost, NotReady) as problem:
            self._has_failed = True
            self._say(f"mail is accepted unverified: {problem}")
            return Verification.UNSURE
        if self._has_failed:
            self._has_failed = False
            self._say("")
        return self._result(reply, command)

    def _result(self, reply: Reply, command: str) -> Verification:
        if reply.positive:
            return Verification.KNOWN
        if command == "RCPT" and self._is_mail_store and reply.enhanced in _FULL:
            return Verification.FULL
        if reply.transient and command == "RCPT":
            return Verification.LATER
        policy = reply.enhanced.startswith("5.7.")
        if command == "RCPT" and not policy and (reply.code in _UNKNOWN_CODES or reply.enhanced.startswith("5.1.")):
            return Verification.UNKNOWN
        self._say(f"mail is accepted unverified: the reply to {command} was {reply}")
        return Verification.UNSURE


def verifications(
    config: Config, resolver: Resolver, complain: Callable[[str], None], shared: SharedAnswers | None = None
) -> Callable[[str, str, str], str]:
    """Return a function that verifies an address at the servers of a direct domain, or of mailboxes, given the name of
    the domain or the place of the mailboxes, and the client that asks. `shared` has the answers that other servers
    got."""
    network = separate_network(config, resolver)
    sections = [direct_section(config, each, network) for each in config.direct_domains if each.verify_recipients]
    if config.server.verify_recipients:
        sections += [mailbox_section(config, place) for place in config.mail_stores]
    servers = {each.targets: InnerServer(each.targets, network) for each in sections}
    made = {each.name: RecipientVerifier(each, servers[each.targets], complain, shared=shared) for each in sections}

    def verify(name: str, address: str, client: str) -> str:
        return made[name].verify(address, client).value

    return verify

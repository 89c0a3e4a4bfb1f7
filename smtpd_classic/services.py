"""The services of one process, made once and passed to every session."""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial

from smtpd_classic.accounts import Account, Accounts, AccountsUnreadable
from smtpd_classic.config.check_domains import local_domains
from smtpd_classic.config.schema import Config, Listener
from smtpd_classic.counters import CounterStore
from smtpd_classic.counters.sender_limits import counters_folder
from smtpd_classic.dns import Resolver
from smtpd_classic.domain_name import ascii_domain, spellings
from smtpd_classic.filters.dns_lists import DnsLists
from smtpd_classic.filters.tools import FilterTools, filter_tools
from smtpd_classic.keys.store import IN_USE, KeyStore, KeysUnreadable, dkim_folder
from smtpd_classic.log import WARNING, Log
from smtpd_classic.mailstore.store import MailStore
from smtpd_classic.message.rewriting import Rewriting, rewriting_for
from smtpd_classic.milter.clients import filter_clients
from smtpd_classic.policy import Client, Policy, PolicySources, Trust, rules_for
from smtpd_classic.policy.greylist import greylist_folder
from smtpd_classic.policy.hosts import HostPatterns
from smtpd_classic.policy.networks import Networks
from smtpd_classic.policy.rules import Verify, no_verifier
from smtpd_classic.runtime import Runtime
from smtpd_classic.shared_state import SharedState
from smtpd_classic.sharing import SharedVerifications, counters_for, shared_answers, shared_state_for
from smtpd_classic.srs import Srs, srs_for, srs_secret
from spool import Spool

__all__ = ["Client", "Services"]

_FREE_SPACE_KEPT_S = 1.0


@dataclass(slots=True)
class _FreeSpace:
    """The free octets on the fuller of two disks, measured at most once a second."""

    spool: Spool
    mail_folder: str
    clock: Callable[[], float]
    _asked: float = -1.0
    _free: int = 0

    def __call__(self) -> int:
        now = self.clock()
        if not 0 <= now - self._asked < _FREE_SPACE_KEPT_S:
            free = self.spool.free_bytes()
            try:
                mail = os.statvfs(self.mail_folder)
                free = min(free, mail.f_bavail * mail.f_frsize)
            except FileNotFoundError:  # the folder is made with the first message
                pass
            self._free, self._asked = free, now
        return self._free


@dataclass(slots=True)
class _OwnSecret:
    """The secret of this server, read once."""

    read: Callable[[], bytes]
    _secret: bytes = b""

    def __call__(self) -> bytes:
        """Return the secret. Raises OSError."""
        self._secret = self._secret or self.read()
        return self._secret


@dataclass(frozen=True, slots=True)
class Services:
    """The configuration and services of one process.

    `clock` returns seconds since the epoch. The fields after it are made from the others.
    """

    config: Config
    accounts: Accounts
    dns: Resolver
    runtime: Runtime
    spool: Spool
    mail_store: MailStore
    log: Log
    clock: Callable[[], float]
    verifier: Callable[[SharedVerifications | None], Verify] = no_verifier
    """Makes `sources.verify`, with the answers that all servers share."""
    shared_before: SharedState | None = None
    """The shared state of this process until a reload."""
    helo_name: str = field(init=False)
    sources: PolicySources = field(init=False)
    counters: CounterStore = field(init=False)
    shared: SharedState | None = field(init=False)
    rewriting: Rewriting = field(init=False)
    """The rules of Mail Header Replace for copies that stay here."""
    _policies: dict[str, Policy] = field(init=False, default_factory=dict)
    _secret: Callable[[], bytes] = field(init=False)
    _trust: Trust = field(init=False)
    _filter: FilterTools = field(init=False)
    _signing_hosts: Networks = field(init=False)
    trusted_results: HostPatterns = field(init=False)
    own_ids: frozenset[str] = field(init=False)
    """The names that only our own servers may use in Authentication-Results."""

    def __post_init__(self) -> None:
        shared = shared_state_for(self.config, self.runtime, self._complain, before=self.shared_before)
        if shared is not None:
            self.runtime.failures.share(shared)
        object.__setattr__(self, "shared", shared)
        is_shared = shared is not None
        object.__setattr__(
            self, "_secret", _OwnSecret(partial(srs_secret, self.config.secret_folder, is_shared=is_shared))
        )
        object.__setattr__(self, "counters", counters_for(counters_folder(self.config), shared, self.clock))
        sources = PolicySources(
            quota_used=self.mail_store.quota_used,
            free_bytes=_FreeSpace(self.spool, self.config.server.mail_folder, self.clock),
            blocked=self.runtime.blocks.blocked,
            reverse_srs=self._reverse_srs,
            milters=filter_clients(
                self.config, self.runtime.milters.report, self.runtime.counters.filtered, self._complain
            ),
            counters=self.counters,
            greylist=counters_for(greylist_folder(self.config), shared, self.clock, kind="greylist"),
            secret=self._secret,
            verify=self.verifier(shared_answers(shared)),
            connections_of=self.runtime.counters.connections_of,
        )
        object.__setattr__(self, "helo_name", self.config.helo_name)
        object.__setattr__(self, "sources", sources)
        object.__setattr__(self, "rewriting", rewriting_for(self.config.replacements, local=True))
        object.__setattr__(self, "_trust", Trust(self.config, self.dns))
        object.__setattr__(self, "_filter", filter_tools(self.config, self.dns, self._complain, self._report_list))
        object.__setattr__(self, "trusted_results", HostPatterns(self.config.authentication.trusted_results))
        object.__setattr__(self, "own_ids", _own_ids(self.config))
        object.__setattr__(self, "_signing_hosts", Networks(self.config.signing.sign_for_hosts))

    def policy(self, listener: Listener) -> Policy:
        """Return the checks of a listener; make them when its first client connects."""
        found = self._policies.get(listener.name)
        if found is None or found.rules.listener is not listener:
            rules = rules_for(
                self.config,
                listener,
                self.accounts,
                self.dns,
                self.sources,
                self._trust,
                self._filter,
                self._signs,
            )
            found = self._policies[listener.name] = Policy(rules, self._complain)
        return found

    @property
    def dns_lists(self) -> tuple[DnsLists, ...]:
        """Return the lists of the SMTP Filter."""
        return (self._filter.blocklists, self._filter.allowlists)

    def end(self) -> None:
        """Write the counts that wait. Call it when the last connection has ended."""
        try:
            self.counters.close()
        except OSError as error:
            self._complain(f"the last counts of the sending limits are lost: {error.strerror}")

    def signs_for(self, ip: str) -> bool:
        """Return True if mail that a trusted host passes on is signed as if it originated here."""
        return self._signing_hosts.find(ip) is not None

    def _signs(self, domain: str) -> bool:
        """Return True if a domain has a key in use; False if its keys cannot be read."""
        try:
            keys = KeyStore(dkim_folder(self.config.path)).keys(domain)
        except KeysUnreadable:
            return False
        return any(key.state == IN_USE for key in keys)

    def close(self, successor: "Services") -> None:
        """End the threads and connections that the successor does not use, when no session is left."""
        self.end()
        self.accounts.close()
        if self.shared is not None and self.shared is not successor.shared:
            self.shared.close()

    def folder_of(self, recipient: str) -> str | None:
        """Return the Maildir of an address that `Envelope-To:` may name: one that leads to a single mailbox. Return
        None else.
        """
        account = self._only_account(recipient)
        return (account.folder or None) if account is not None else None

    def junk_of(self, recipient: str) -> str | None:
        """Return the Maildir for the junk of such an address."""
        account = self._only_account(recipient)
        return (account.junk_maildir or None) if account is not None else None

    def _only_account(self, recipient: str) -> Account | None:
        try:
            found = self.accounts.find(recipient)
        except AccountsUnreadable:
            return None
        return self.accounts.account(found.targets[0]) if found is not None and len(found.targets) == 1 else None

    def _report_list(self, zone: str, problem: str) -> None:
        self.runtime.lists.report(zone, problem, 0.0)

    def _complain(self, sentence: str) -> None:
        self.log.write("smtpd", f"warning: {sentence}", WARNING)

    def srs(self) -> Srs:
        """Return the rewriter of senders. Raises OSError."""
        config = self.config
        spellings_of_it = spellings(config.server.primary_domain)
        return srs_for(
            config.server.spool_folder, config.mail_domain, self._secret, self.shared, spellings=spellings_of_it
        )

    def _reverse_srs(self, address: str) -> str | None:
        """Return the original of an SRS address of ours, or None.

        Before the first message is forwarded there is no secret, so no such address can be ours.
        """
        if not os.path.exists(os.path.join(self.config.secret_folder, "srs-secret")):
            return None
        return self.srs().reverse(address, datetime.fromtimestamp(self.clock(), UTC).date())


def _own_ids(config: Config) -> frozenset[str]:
    names = {config.helo_name, *local_domains(config), *config.server.authserv_ids}
    return frozenset(ascii_domain(name) for name in names)

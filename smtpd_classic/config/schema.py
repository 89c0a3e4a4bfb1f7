"""Every option of smtpd-classic, once: its name, kind, default, label and the manual's words for it.

Adding an option is one declaration in the module of its section (`schema_*`) and the code that reads it. The file's
sections are listed in `SECTIONS`, in the order of the sample file, the manual and the tabs.
"""

import os
from collections.abc import Mapping
from dataclasses import field

from smtpd_classic.config.frozen import frozen_dataclass
from smtpd_classic.config.kinds import (
    ADDRESS,
    DOMAIN_NAME,
    PATTERN,
    REPLACEMENT,
    WORD,
    MailboxPlace,
)
from smtpd_classic.config.option import Section
from smtpd_classic.config.schema_access import Access
from smtpd_classic.config.schema_approval import Approval
from smtpd_classic.config.schema_archive import Archive
from smtpd_classic.config.schema_authentication import Authentication
from smtpd_classic.config.schema_basic import Basic
from smtpd_classic.config.schema_filter import Filter
from smtpd_classic.config.schema_filter_rule import FilterRule
from smtpd_classic.config.schema_groups import Group
from smtpd_classic.config.schema_limits import AccountLimits, Limits
from smtpd_classic.config.schema_listener import Listener
from smtpd_classic.config.schema_milter import Milter, Milters
from smtpd_classic.config.schema_remote import Direct, DirectDomain, OpenRelay, Remote, Replacement, Trusted
from smtpd_classic.config.schema_server import Domain, Server
from smtpd_classic.config.schema_signing import Signing
from smtpd_classic.domain_name import ascii_address

__all__ = [
    "SECTIONS",
    "Access",
    "AccountLimits",
    "Approval",
    "Archive",
    "Authentication",
    "Basic",
    "Config",
    "Direct",
    "DirectDomain",
    "Domain",
    "Filter",
    "FilterRule",
    "Group",
    "Limits",
    "Listener",
    "Milter",
    "Milters",
    "OpenRelay",
    "Remote",
    "Replacement",
    "Server",
    "Signing",
    "Trusted",
    "section_of",
]


@frozen_dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """All values of the file. A Config never changes; a reload makes another one (invariant 8).

    `path` is the absolute name of the file and `digest` the SHA-256 of its bytes in hexadecimal. File and folder names
    in it are absolute already. `lines` keeps where each option was set, for complaints: {(title, option): line}.
    """

    path: str
    digest: str
    server: Server
    listeners: tuple[Listener, ...] = ()
    domains: tuple[Domain, ...] = ()
    groups: tuple[Group, ...] = ()
    archive: Archive = Archive()
    basic: Basic = Basic()
    remote: Remote = Remote()
    open_relay: OpenRelay = OpenRelay()
    trusted: Trusted = Trusted()
    direct: Direct = Direct()
    direct_domains: tuple[DirectDomain, ...] = ()
    replacements: tuple[Replacement, ...] = ()
    access: Access = Access()
    signing: Signing = Signing()
    authentication: Authentication = Authentication()
    filter: Filter = Filter()
    filter_rules: tuple[FilterRule, ...] = ()
    limits: Limits = Limits()
    account_limits: tuple[AccountLimits, ...] = ()
    approvals: tuple[Approval, ...] = ()
    milter: Milters = Milters()
    milters: tuple[Milter, ...] = ()
    lines: Mapping[tuple[str, str], int] = field(default_factory=dict, repr=False, compare=False)

    def line(self, title: str, name: str = "") -> int:
        """Return the line of an option, else of its section, else 0; the title of a table row is `word NAME`."""
        return self.lines.get((title, name)) or self.lines.get((title, ""), 0)

    @property
    def helo_name(self) -> str:
        """Return the name of this host as other servers know it, with A-labels (RFC 6531 3.7.1)."""
        return ascii_address(self.basic.helo_name or self.server.primary_domain)

    @property
    def mail_domain(self) -> str:
        """Return the primary domain for an address that this server writes, so that it needs no SMTPUTF8."""
        return ascii_address(self.server.primary_domain)

    @property
    def mail_stores(self) -> tuple[MailboxPlace, ...]:
        """Return the places of mailboxes that are LMTP servers."""
        places = [self.server.mailbox, *(each.mailbox for each in self.domains if each.mailbox is not None)]
        return tuple(dict.fromkeys(each for each in places if not each.is_maildir))

    @property
    def verifies_recipients(self) -> bool:
        """Return True if a server is asked at RCPT whether it takes mail for a recipient."""
        if any(each.verify_recipients for each in self.direct_domains):
            return True
        return self.server.verify_recipients and bool(self.mail_stores)

    @property
    def secret_folder(self) -> str:
        """Return the folder of the secrets: beside this file if several servers share them, else the spool."""
        return os.path.dirname(self.path) if self.server.shared_state else self.server.spool_folder

    @property
    def postmaster(self) -> str:
        return ascii_address(self.basic.postmaster or f"postmaster@{self.server.primary_domain}")


SECTIONS = (
    Section("server", "server", Server, "Server", "The primary domain, the service user, and the folders and files."),
    Section(
        "listener",
        "listeners",
        Listener,
        "Listeners & TLS",
        "A port to listen on; one section each.",
        WORD,
    ),
    Section("domain", "domains", Domain, "Domains", "A local domain; one section each.", DOMAIN_NAME),
    Section(
        "group",
        "groups",
        Group,
        "Groups",
        "An address of a local domain that stands for its members; one section each. Each member gets a copy with the "
        "fields List-Id, List-Post and List-Unsubscribe on top.",
        ADDRESS,
    ),
    Section(
        "archive", "archive", Archive, "Archive", "Copies of all mail for an archive; each domain may have its own."
    ),
    Section("basic", "basic", Basic, "Basic Parameters", "Names, limits and the rules for senders."),
    Section("remote", "remote", Remote, "Remote Delivery", "How mail leaves for other servers."),
    Section(
        "open-relay",
        "open_relay",
        OpenRelay,
        "Open Relay Domains",
        "Domains that strangers may send to.",
    ),
    Section("trusted", "trusted", Trusted, "Trusted Hosts", "Clients that need no login."),
    Section("direct", "direct", Direct, "Direct Delivery", "Domains with servers of their own."),
    Section(
        "direct",
        "direct_domains",
        DirectDomain,
        "Direct Delivery",
        "The servers of one domain, or of the sub-domains of .DOMAIN, one section each. The section of the domain "
        "itself counts before that of its nearest parent, whatever their order.",
        PATTERN,
    ),
    Section(
        "replace",
        "replacements",
        Replacement,
        "Mail Header Replace",
        "Replaces addresses in From, Sender and Reply-To of mail that originates here by the address in the section's"
        " name; one section each, and the first that matches counts.",
        REPLACEMENT,
    ),
    Section(
        "access",
        "access",
        Access,
        "Access Control",
        "Who may connect, and how much one client may ask for.",
    ),
    Section("signing", "signing", Signing, "Signing & DNS", "Signatures (DKIM) and the DNS records that are printed."),
    Section(
        "authentication",
        "authentication",
        Authentication,
        "Authentication",
        "Checks of incoming mail: SPF, DKIM and DMARC.",
    ),
    Section(
        "filter",
        "filter",
        Filter,
        "SMTP Filter",
        "Checks of clients that are neither logged in, trusted nor local, and of their senders. They are made at RCPT, "
        "and never for postmaster@ and abuse@ of the local domains. Also the quarantine: mail that a filter has put "
        "on hold.",
    ),
    Section(
        "filter-rule",
        "filter_rules",
        FilterRule,
        "Filter Rules",
        "A rule for messages; one section each. All that match act, in this order; accept and refuse end the list. "
        "Rules are asked at the end of a message, before milters, and refuse at RCPT if the envelope is enough. They "
        "never refuse mail that is for postmaster@ or abuse@ of the local domains alone.",
        WORD,
    ),
    Section(
        "limits",
        "limits",
        Limits,
        "Sending Limits",
        "How many recipients elsewhere each account and host may write to, so that a stolen password does little harm.",
    ),
    Section(
        "account-limits",
        "account_limits",
        AccountLimits,
        "Account Limits",
        "The sending limits of one account; one section each.",
        ADDRESS,
    ),
    Section(
        "approval",
        "approvals",
        Approval,
        "Approval",
        "Mail of some senders that waits in the queue until a manager approves it; one section each, and the first "
        "with the sender counts.",
        WORD,
    ),
    Section("milter", "milter", Milters, "Milters", "Limits of all milters."),
    Section(
        "milter",
        "milters",
        Milter,
        "Milters",
        "A program that checks or changes messages while they are received, such as rspamd, ClamAV, OpenDKIM or "
        "OpenDMARC; one section each. They are asked in this order, and each sees the changes of those before it.",
        WORD,
    ),
)


def section_of(word: str, *, named: bool) -> Section:
    """Return the section of `[word]`, or of `[word NAME]` when named. Raises KeyError when there is none."""
    found = next((each for each in SECTIONS if each.word == word and each.is_table == named), None)
    if found is None:
        raise KeyError(word)
    return found

"""Every check, in the order in which the server runs them, with the option that switches it on.

A check returns an objection or None. The first objection wins. A check that raises has decided nothing: the client gets
a temporary reply (invariant 9), and the log gives the reason. Checks of the content see all of a transaction: a row of
`CONTENT_CHECKS` makes an object for each.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import NamedTuple

from smtpd_classic.policy import mailbox_verification
from smtpd_classic.policy.answers import allow_vrfy_expn
from smtpd_classic.policy.approvals import by_mail
from smtpd_classic.policy.authentication import dmarc_quarantine, dmarc_reject, own_domains, spf_fail
from smtpd_classic.policy.client import allow_only, auth, auto_block, refuse
from smtpd_classic.policy.content import ContentCheck
from smtpd_classic.policy.filter import (
    blocklist_action,
    blocklists,
    own_hello,
    refuse_hellos,
    refuse_senders,
    reverse_name,
    sender_domain,
)
from smtpd_classic.policy.filter_rules import action, block_attachments, rules_check
from smtpd_classic.policy.greylist import greylist
from smtpd_classic.policy.groups import post
from smtpd_classic.policy.limits import (
    bare_line_feeds,
    delivered_to,
    max_hops,
    max_incoming_size,
    max_message_size,
    max_outgoing_size,
    max_recipients,
    min_free_space,
    over_max_recipients,
    quota,
)
from smtpd_classic.policy.lmtp import each_mailbox
from smtpd_classic.policy.mail_authentication import mail_authentication
from smtpd_classic.policy.milters import milters
from smtpd_classic.policy.recipients import resolve
from smtpd_classic.policy.relaying import close_open_relay, look_up_mx, status
from smtpd_classic.policy.rules import Rules
from smtpd_classic.policy.sender import require_auth_for_local_sender, require_local_sender, require_own_sender
from smtpd_classic.policy.sending_limits import over_limit, suspend_after
from smtpd_classic.policy.transaction import Transaction
from smtpd_classic.policy.verification import verify_recipients
from smtpd_classic.smtp.events import (
    Connected,
    EndContent,
    Event,
    Expand,
    HeaderRead,
    MailFrom,
    RcptTo,
    StartContent,
    Verify,
)
from smtpd_classic.smtp.replies import LOCAL_ERROR
from smtpd_classic.smtp.reply import Reply

__all__ = ["CHECKS", "CONTENT_CHECKS", "Check", "ContentRow", "Policy", "PolicyCheck", "require_asked"]

Check = Callable[[Transaction, Event], Reply | None]


class PolicyCheck(NamedTuple):
    """A check, the event at which it runs, and the place of its option. `at_lmtp`: it also runs for LMTP."""

    event: type[Event]
    section: str
    check: Check
    switched_on: Callable[[Rules], bool]
    at_lmtp: bool = False

    @property
    def option(self) -> str:
        return self.check.__name__

    def is_on(self, rules: Rules) -> bool:
        return self.switched_on(rules) and (self.at_lmtp or not rules.lmtp)


class ContentRow(NamedTuple):
    """A check of the content, and the place of its option. `make` returns None for a client that it does not check.
    `at_lmtp`: it is for LMTP alone; the others are not."""

    section: str
    option: str
    make: Callable[[Transaction], ContentCheck | None]
    switched_on: Callable[[Rules], bool]
    at_lmtp: bool = False

    def is_on(self, rules: Rules) -> bool:
        return self.switched_on(rules) and self.at_lmtp is rules.lmtp


def require_asked(rows: Iterable[PolicyCheck], asked: Collection[type[Event]]) -> None:
    """Raise LookupError for a row that would never run, because the server does not ask at its event."""
    for row in rows:
        if row.event not in asked:
            raise LookupError(f"the check {row.option} is for {row.event.__name__}, at which no check is asked")


def _always(rules: Rules) -> bool:
    return True


CHECKS = (
    PolicyCheck(Connected, "access", refuse, lambda rules: bool(rules.refuse)),
    PolicyCheck(Connected, "access", allow_only, lambda rules: bool(rules.allow_only)),
    PolicyCheck(Connected, "access", auto_block, _always),
    PolicyCheck(MailFrom, "listener", auth, lambda rules: rules.listener.auth == "required"),
    PolicyCheck(MailFrom, "limits", suspend_after, _always),
    PolicyCheck(MailFrom, "basic", max_message_size, lambda rules: rules.config.basic.max_message_size > 0),
    PolicyCheck(
        MailFrom,
        "basic",
        require_auth_for_local_sender,
        lambda rules: rules.config.basic.require_auth_for_local_sender,
    ),
    PolicyCheck(MailFrom, "basic", require_local_sender, lambda rules: rules.config.basic.require_local_sender),
    PolicyCheck(MailFrom, "basic", require_own_sender, lambda rules: rules.config.basic.require_own_sender),
    PolicyCheck(MailFrom, "basic", min_free_space, lambda rules: rules.config.basic.min_free_space > 0, at_lmtp=True),
    PolicyCheck(RcptTo, "basic", max_recipients, _always),
    PolicyCheck(RcptTo, "basic", close_open_relay, _always, at_lmtp=True),
    PolicyCheck(RcptTo, "accounts", status, _always, at_lmtp=True),
    PolicyCheck(RcptTo, "accounts", quota, _always, at_lmtp=True),
    PolicyCheck(RcptTo, "basic", max_incoming_size, lambda rules: rules.config.basic.max_incoming_size > 0),
    PolicyCheck(RcptTo, "basic", max_outgoing_size, lambda rules: rules.config.basic.max_outgoing_size > 0),
    PolicyCheck(
        RcptTo,
        "remote",
        look_up_mx,
        lambda rules: rules.config.remote.look_up_mx and not rules.config.remote.relay_always,
    ),
    PolicyCheck(
        RcptTo,
        "authentication",
        spf_fail,
        lambda rules: rules.config.authentication.check and rules.config.authentication.spf_fail == "refuse",
    ),
    PolicyCheck(RcptTo, "group", post, lambda rules: bool(rules.config.groups), at_lmtp=True),
    PolicyCheck(RcptTo, "limits", over_limit, lambda rules: rules.config.limits.over_limit != "hold"),
    PolicyCheck(RcptTo, "filter", refuse_senders, lambda rules: bool(rules.filter.refused_senders)),
    PolicyCheck(RcptTo, "filter", refuse_hellos, lambda rules: bool(rules.filter.refused_hellos)),
    PolicyCheck(RcptTo, "filter", own_hello, lambda rules: rules.config.filter.own_hello != "no"),
    PolicyCheck(RcptTo, "filter", reverse_name, lambda rules: rules.config.filter.reverse_name == "refuse"),
    PolicyCheck(RcptTo, "filter", blocklists, lambda rules: bool(rules.filter.blocklists)),
    PolicyCheck(RcptTo, "filter", sender_domain, lambda rules: rules.config.filter.sender_domain != "no"),
    PolicyCheck(RcptTo, "filter-rule", action, lambda rules: bool(rules.filter.rules)),
    PolicyCheck(RcptTo, "filter", greylist, lambda rules: rules.config.filter.greylist != "no"),
    PolicyCheck(
        RcptTo,
        "direct",
        verify_recipients,
        lambda rules: any(each.verify_recipients for each in rules.config.direct_domains),
    ),
    PolicyCheck(
        RcptTo,
        "server",
        mailbox_verification.verify_recipients,
        lambda rules: rules.config.server.verify_recipients and bool(rules.config.mail_stores),
        at_lmtp=True,
    ),
    PolicyCheck(
        StartContent, "basic", over_max_recipients, lambda rules: rules.config.basic.over_max_recipients != "defer"
    ),
    PolicyCheck(HeaderRead, "basic", max_hops, _always, at_lmtp=True),
    PolicyCheck(HeaderRead, "basic", delivered_to, _always, at_lmtp=True),
    PolicyCheck(HeaderRead, "group", post, lambda rules: bool(rules.config.groups), at_lmtp=True),
    PolicyCheck(HeaderRead, "basic", require_own_sender, lambda rules: rules.config.basic.require_own_sender),
    *(
        PolicyCheck(EndContent, "authentication", check, lambda rules: rules.config.authentication.check)
        for check in (own_domains, dmarc_quarantine, dmarc_reject)
    ),
    PolicyCheck(EndContent, "group", post, lambda rules: bool(rules.config.groups), at_lmtp=True),
    PolicyCheck(
        EndContent,
        "approval",
        by_mail,
        lambda rules: any(each.by_mail for each in rules.config.approvals),
        at_lmtp=True,
    ),
    PolicyCheck(EndContent, "basic", bare_line_feeds, lambda rules: rules.config.basic.bare_line_feeds == "reject"),
    PolicyCheck(EndContent, "accounts", quota, _always),
    *(
        PolicyCheck(event, "basic", allow_vrfy_expn, lambda rules: not rules.config.basic.allow_vrfy_expn)
        for event in (Verify, Expand)
    ),
)
CONTENT_CHECKS = (
    ContentRow(
        "filter",
        "blocklist_action",
        blocklist_action,
        lambda rules: bool(rules.filter.blocklists) and rules.config.filter.blocklist_action != "refuse",
    ),
    ContentRow("filter-rule", "action", rules_check, lambda rules: bool(rules.filter.rules)),
    ContentRow(
        "filter", "block_attachments", block_attachments, lambda rules: bool(rules.config.filter.block_attachments)
    ),
    ContentRow("authentication", "check", mail_authentication, lambda rules: rules.config.authentication.check),
    ContentRow("milter", "address", milters, lambda rules: bool(rules.config.milters)),
    ContentRow("accounts", "quota", each_mailbox, _always, at_lmtp=True),
)


class Policy:
    """The checks of one listener under one configuration, without the checks that are switched off."""

    __slots__ = ("_checks", "_complain", "_content_rows", "rules")

    def __init__(
        self,
        rules: Rules,
        complain: Callable[[str], None],
        rows: Sequence[PolicyCheck] = CHECKS,
        content_rows: Sequence[ContentRow] = CONTENT_CHECKS,
    ) -> None:
        self.rules = rules
        self._complain = complain
        self._checks: dict[type[Event], tuple[Check, ...]] = {
            event: tuple(row.check for row in rows if row.event is event and row.is_on(rules))
            for event in {row.event for row in rows} | {RcptTo}
        }
        self._content_rows = tuple(row for row in content_rows if row.is_on(rules))

    def first_objection(self, transaction: Transaction, event: Event) -> Reply | None:
        """Return the reply that replaces a positive answer, or None. At RCPT it sets `transaction.recipient`."""
        checks = self._checks.get(type(event))
        if checks is None:
            return None
        check: object = resolve
        try:
            if isinstance(event, RcptTo):
                transaction.recipient = resolve(self.rules, event.forward_path)
            for check in checks:
                reply = check(transaction, event)
                if reply is not None:
                    return reply
            if transaction.content_checks and isinstance(event, RcptTo):
                for content_check in transaction.content_checks:
                    check = type(content_check)
                    reply = content_check.recipient(event)
                    if reply is not None:
                        return reply
        except Exception as problem:
            name = getattr(check, "__name__", "")
            self._complain(f"{name} cannot decide, the client is deferred: {type(problem).__name__}: {problem}")
            return LOCAL_ERROR
        return None

    def content_checks(self, transaction: Transaction) -> tuple[ContentCheck, ...]:
        """Return the checks of the content for a transaction that has begun. Raises as the checks do."""
        if not self._content_rows:
            return ()
        made = [row.make(transaction) for row in self._content_rows]
        return tuple(check for check in made if check is not None)

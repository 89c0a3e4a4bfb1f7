"""Every check, in the order in which the server runs them, with the option that switches it on.

A check returns an objection or None. The first objection wins. A check that raises has decided nothing: the client gets
a temporary reply (invariant 9), and the log gives the reason.
"""

from collections.abc import Callable
from typing import NamedTuple

from smtpd_classic.policy.addressees import addressee_of
from smtpd_classic.policy.authentication import dmarc_quarantine, dmarc_reject, own_domains, spf_fail
from smtpd_classic.policy.client import allow_only, auth, auto_block, refuse
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
from smtpd_classic.policy.relaying import close_open_relay, look_up_mx, status
from smtpd_classic.policy.rules import Rules
from smtpd_classic.policy.sender import require_auth_for_local_sender, require_local_sender, require_own_sender
from smtpd_classic.policy.transaction import Transaction
from smtpd_classic.smtp.events import Connected, Content, EndContent, Event, MailFrom, RcptTo, StartContent
from smtpd_classic.smtp.replies import LOCAL_ERROR
from smtpd_classic.smtp.reply import Reply

__all__ = ["CHECKS", "Check", "Policy", "PolicyCheck"]

Check = Callable[[Transaction, Event], Reply | None]


class PolicyCheck(NamedTuple):
    """A check, the event at which it runs, and the place of its option. `Content`: the header block is complete."""

    event: type[Event]
    section: str
    check: Check
    switched_on: Callable[[Rules], bool]

    @property
    def option(self) -> str:
        return self.check.__name__


def _always(rules: Rules) -> bool:
    return True


CHECKS = (
    PolicyCheck(Connected, "access", refuse, lambda rules: bool(rules.refuse)),
    PolicyCheck(Connected, "access", allow_only, lambda rules: bool(rules.allow_only)),
    PolicyCheck(Connected, "access", auto_block, _always),
    PolicyCheck(MailFrom, "listener", auth, lambda rules: rules.listener.auth == "required"),
    PolicyCheck(MailFrom, "basic", max_message_size, lambda rules: rules.config.basic.max_message_size > 0),
    PolicyCheck(
        MailFrom,
        "basic",
        require_auth_for_local_sender,
        lambda rules: rules.config.basic.require_auth_for_local_sender,
    ),
    PolicyCheck(MailFrom, "basic", require_local_sender, lambda rules: rules.config.basic.require_local_sender),
    PolicyCheck(MailFrom, "basic", require_own_sender, lambda rules: rules.config.basic.require_own_sender),
    PolicyCheck(MailFrom, "basic", min_free_space, lambda rules: rules.config.basic.min_free_space > 0),
    PolicyCheck(RcptTo, "basic", max_recipients, _always),
    PolicyCheck(RcptTo, "basic", close_open_relay, _always),
    PolicyCheck(RcptTo, "accounts", status, _always),
    PolicyCheck(RcptTo, "accounts", quota, _always),
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
    PolicyCheck(
        StartContent, "basic", over_max_recipients, lambda rules: rules.config.basic.over_max_recipients != "defer"
    ),
    PolicyCheck(Content, "basic", max_hops, _always),
    PolicyCheck(Content, "basic", delivered_to, _always),
    PolicyCheck(Content, "basic", require_own_sender, lambda rules: rules.config.basic.require_own_sender),
    *(
        PolicyCheck(EndContent, "authentication", check, lambda rules: rules.config.authentication.check)
        for check in (own_domains, dmarc_quarantine, dmarc_reject)
    ),
    PolicyCheck(EndContent, "basic", bare_line_feeds, lambda rules: rules.config.basic.bare_line_feeds == "reject"),
)


class Policy:
    """The checks of one listener under one configuration, without the checks that are switched off."""

    __slots__ = ("_checks", "_complain", "rules")

    def __init__(self, rules: Rules, complain: Callable[[str], None]) -> None:
        self.rules = rules
        self._complain = complain
        self._checks: dict[type[Event], tuple[Check, ...]] = {
            event: tuple(row.check for row in CHECKS if row.event is event and row.switched_on(rules))
            for event in {row.event for row in CHECKS}
        }

    def first_objection(self, transaction: Transaction, event: Event) -> Reply | None:
        """Return the reply that replaces a positive answer, or None. At RCPT it sets `transaction.addressee`."""
        check: object = addressee_of
        try:
            if isinstance(event, RcptTo):
                transaction.addressee = addressee_of(self.rules, event.forward_path)
            for check in self._checks.get(type(event), ()):
                reply = check(transaction, event)
                if reply is not None:
                    return reply
        except Exception as problem:
            name = getattr(check, "__name__", "")
            self._complain(f"{name} cannot decide, the client is deferred: {type(problem).__name__}: {problem}")
            return LOCAL_ERROR
        return None

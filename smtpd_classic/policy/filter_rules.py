"""Filter rules and blocked attachments, asked about one message.

Rule 1: a rule about the envelope refuses at RCPT, unless a rule before it may still accept the message by its content.
Rule 2: mail for postmaster@ and abuse@ of a local domain alone is never refused here.
Rule 3: a recipient is redirected once: the first rule that does so counts.
Rule 4: `accept` ends the list; lists and milters then cannot put the message into the junk folder.
"""

from collections.abc import Iterator

from smtpd_classic.filters.attachments import AttachmentNames, first_with_ending
from smtpd_classic.filters.rules import ENVELOPE, MessageView, PreparedRule
from smtpd_classic.message.headers import HeaderBlock
from smtpd_classic.policy.content import ContentCheck, Disposition
from smtpd_classic.policy.filter import is_always_reached
from smtpd_classic.policy.groups import is_automatic
from smtpd_classic.policy.recipients import resolve, takes_mail
from smtpd_classic.policy.transaction import ResolvedRecipient, Transaction
from smtpd_classic.smtp.address import split_address
from smtpd_classic.smtp.events import Event, RcptTo
from smtpd_classic.smtp.replies import ATTACHMENT_REFUSED, RULE_REFUSED
from smtpd_classic.smtp.reply import Reply

__all__ = ["action", "block_attachments", "is_accepted_at_rcpt", "rules_check"]

_NO_NOTICE = RcptTo("", frozenset({"NEVER"}))  # a copy is a matter of this server and its administrator


def action(transaction: Transaction, event: Event) -> Reply | None:
    """Refuse a recipient if a rule does so by the envelope alone."""
    rule, recipient = _decided_at_rcpt(transaction, _rules_for(transaction)), transaction.recipient
    if rule is None or rule.action.word != "refuse" or recipient is None or is_always_reached(recipient):
        return None
    return RULE_REFUSED


def rules_check(transaction: Transaction) -> "RulesCheck | None":
    """Return the check of a transaction; None if no rule is for this client."""
    rules = _rules_for(transaction)
    return RulesCheck(transaction, rules) if rules else None


def _rules_for(transaction: Transaction) -> tuple[PreparedRule, ...]:
    is_ours = transaction.peer.originates_here
    return tuple(each for each in transaction.rules.filter.rules if each.is_for(originates_here=is_ours))


def _envelope(transaction: Transaction) -> MessageView:
    return MessageView(transaction.peer.client.ip, transaction.sender)


def _names(path: str, resolved: ResolvedRecipient) -> tuple[str, ...]:
    return tuple(dict.fromkeys((path, resolved.address)))


def _decided_at_rcpt(transaction: Transaction, rules: tuple[PreparedRule, ...]) -> PreparedRule | None:
    """Return the rule that refuses or accepts this recipient by the envelope alone."""
    recipient = transaction.recipient
    assert recipient is not None
    envelope = _envelope(transaction)._replace(recipients=(_names(recipient.address, recipient),))
    for rule in rules:
        if rule.field not in ENVELOPE:
            if rule.action.word == "accept":
                return None  # it may accept the message at its end
        elif rule.action.word in {"accept", "refuse"} and rule.is_met(envelope):
            return rule
    return None


def is_accepted_at_rcpt(transaction: Transaction) -> bool:
    """Return True if a rule accepts this recipient by the envelope: then it is not deferred by greylisting."""
    rule = _decided_at_rcpt(transaction, _rules_for(transaction))
    return rule is not None and rule.action.word == "accept"


class RulesCheck(ContentCheck):
    """The filter rules for one message."""

    __slots__ = ("_attachments", "_met", "_redirected", "_rules", "_transaction", "changes_message")

    def __init__(self, transaction: Transaction, rules: tuple[PreparedRule, ...]) -> None:
        self._transaction = transaction
        self._rules = rules
        self._met: list[PreparedRule] = []
        self._redirected: set[str] = set()
        self._attachments: AttachmentNames | None = None
        envelope = _envelope(transaction)
        self.changes_message = any(
            each.changes_message and (each.field not in {"sender", "client"} or each.is_met(envelope)) for each in rules
        )

    @property
    def needs_body(self) -> bool:
        return self._attachments is not None

    def header(self, header: HeaderBlock) -> Reply | None:
        if any(each.field == "attachment" for each in self._rules):
            self._attachments = AttachmentNames(header.raw)
        return None

    def body(self, piece: bytes) -> None:
        if self._attachments is not None:
            self._attachments.take(piece)

    def end(self, disposition: Disposition) -> Reply | None:
        message, own_junk = self._message(disposition), ""
        for rule in self._rules:
            if not rule.is_met(message):
                continue
            word = rule.action.word
            if word == "refuse" and _is_always_reached(self._transaction):
                continue
            self._met.append(rule)
            if word == "refuse":
                return RULE_REFUSED
            if word == "accept":
                disposition.accepted, disposition.junk = rule.name, own_junk
                return None
            if word == "junk":
                own_junk = own_junk or f"filter rule {rule.name}"
                disposition.junk = disposition.junk or own_junk
            else:
                self._change(rule, disposition)
        return None

    def _message(self, disposition: Disposition) -> MessageView:
        transaction = self._transaction
        pairs = zip(transaction.paths, transaction.recipients, strict=True)
        return _envelope(transaction)._replace(
            recipients=tuple(_names(path.forward_path, resolved) for path, resolved in pairs),
            header=disposition.header,
            attachments=tuple(self._attachments.finish()) if self._attachments is not None else (),
            size=disposition.size,
        )

    def _change(self, rule: PreparedRule, disposition: Disposition) -> None:
        argument = rule.action.argument
        if rule.action.word == "hold":
            disposition.hold = f"quarantine: filter rule {rule.name}"
        elif rule.action.word == "header":
            disposition.on_top.append(f"{argument}\n".encode())
        else:
            found = list(self._recipients_of(rule))
            if rule.action.word == "redirect":
                found = [each for each in found if each not in self._redirected]
                if not found:
                    return
                if self._takes_mail(argument, disposition.header):  # else the recipients keep the message
                    self._redirected.update(found)
                    for path in found:
                        disposition.remove_recipient(path)
            request = self._request(found) if rule.action.word == "redirect" else _NO_NOTICE
            disposition.add_recipient(argument, next((each for each in found if self._is_local(each)), ""), request)

    def _recipients_of(self, rule: PreparedRule) -> Iterator[str]:
        """Yield the recipients that a rule is about: all, but for a rule that names recipients."""
        transaction = self._transaction
        for path, resolved in zip(transaction.paths, transaction.recipients, strict=True):
            if rule.field != "recipient" or rule.is_met_by(_names(path.forward_path, resolved)):
                yield resolved.address

    def _request(self, redirected: list[str]) -> RcptTo | None:
        """Return the request of the recipients for notices, if it is the same for all of them."""
        pairs = zip(self._transaction.paths, self._transaction.recipients, strict=True)
        paths = [path for path, resolved in pairs if resolved.address in redirected]
        if len({path.notify for path in paths}) != 1:
            return None
        return RcptTo("", paths[0].notify, paths[0].orcpt if len(paths) == 1 else "")

    def _takes_mail(self, address: str, header: HeaderBlock) -> bool:
        rules, automatic = self._transaction.rules, is_automatic(self._transaction.sender, header)
        return takes_mail(rules, resolve(rules, address), automatic=automatic)

    def _is_local(self, address: str) -> bool:
        return self._transaction.rules.accounts.is_local_domain(split_address(address)[1])

    def summary(self) -> str:
        shown = ", ".join(f"{each.name} ({each.action})" for each in self._met)
        return f"filter rules: {shown}" if shown else ""


def _is_always_reached(transaction: Transaction) -> bool:
    """Return True if the message is for postmaster@ and abuse@ alone."""
    return all(is_always_reached(each) for each in transaction.recipients)


def block_attachments(transaction: Transaction) -> "AttachmentsCheck | None":
    """Return the check of a transaction; None for clients that are not filtered."""
    return None if transaction.peer.originates_here else AttachmentsCheck(transaction)


class AttachmentsCheck(ContentCheck):
    """Refuses a message with a file whose name has a blocked ending, or puts it into the junk folder."""

    __slots__ = ("_attachments", "_found", "_transaction")

    needs_body = True

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction
        self._attachments: AttachmentNames | None = None
        self._found = ""

    def header(self, header: HeaderBlock) -> Reply | None:
        self._attachments = AttachmentNames(header.raw)
        return None

    def body(self, piece: bytes) -> None:
        if self._attachments is not None:
            self._attachments.take(piece)

    def end(self, disposition: Disposition) -> Reply | None:
        names = self._attachments.finish() if self._attachments is not None else []
        options = self._transaction.rules.config.filter
        self._found = first_with_ending(names, options.block_attachments)
        if not self._found or _is_always_reached(self._transaction):
            return None
        if options.block_attachments_action == "refuse":
            return ATTACHMENT_REFUSED
        disposition.junk = disposition.junk or "blocked attachment"
        return None

    def summary(self) -> str:
        return f"filter: blocked attachment {self._found}" if self._found else ""

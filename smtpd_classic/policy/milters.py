"""Milters: filters outside of this server, asked about each message in the order of their sections.

The envelope is sent with the first accepted recipient, the content after its end, to one filter after the other, so
that each sees the changes of those before it. A filter that fails decides nothing; `when_down` does.
"""

from smtpd_classic.accounts import Accounts
from smtpd_classic.message.headers import HeaderBlock
from smtpd_classic.milter import packets
from smtpd_classic.milter.connection import Budget
from smtpd_classic.milter.header import FilteredHeader
from smtpd_classic.milter.replies import (
    AddRecipient,
    ChangeField,
    DeleteRecipient,
    FilterAction,
    InsertField,
    Quarantine,
    Verdict,
)
from smtpd_classic.milter.session import FilterClient, FilteredEnvelope, FilteredMessage, MessageFilter, SessionFilter
from smtpd_classic.policy.content import ContentCheck, Disposition
from smtpd_classic.policy.milter_macros import envelope_of, recipient_macros
from smtpd_classic.policy.transaction import Transaction
from smtpd_classic.smtp.events import RcptTo
from smtpd_classic.smtp.reply import Reply

__all__ = ["MilterCheck", "milters"]

_NOT_SCANNED = b"X-Spam-Reason: not scanned (size)\n"


def milters(transaction: Transaction) -> "MilterCheck | None":
    """Return the check of a transaction; None if no milter is for this client."""
    peer = transaction.peer
    side = "outgoing" if peer.originates_here else "incoming"
    wanted = [each for each in transaction.rules.sources.milters if each.options.for_ in {side, "both"}]
    if not wanted:
        return None
    sessions = [_session_of(transaction, client) for client in wanted]
    budget = Budget(peer.rules.config.milter.filter_deadline.total_seconds())
    return MilterCheck(transaction, [MessageFilter(session, budget) for session in sessions])


def _session_of(transaction: Transaction, client: FilterClient) -> SessionFilter:
    """Return the filter's state in this session; its connection ends with that of the client."""
    peer = transaction.peer
    found = peer.filters.get(client.name)
    if found is None:
        found = peer.filters[client.name] = SessionFilter(client)
        peer.on_close.append(found.close)
    return found


class MilterCheck(ContentCheck):
    """All filters of one message."""

    __slots__ = ("_discarded_by", "_envelope", "_filters", "_known", "_transaction")

    changes_message = True

    def __init__(self, transaction: Transaction, filters: list[MessageFilter]) -> None:
        self._transaction = transaction
        self._filters = filters
        self._envelope: FilteredEnvelope | None = None
        self._discarded_by = ""

    def recipient(self, event: RcptTo) -> Reply | None:
        envelope = self._envelope
        if envelope is None:
            envelope = self._envelope = envelope_of(self._transaction)
        known = {**envelope.known, **recipient_macros(self._transaction)}
        parameters = [f"NOTIFY={','.join(sorted(event.notify))}"] if event.notify else []
        if event.orcpt:
            parameters.append(f"ORCPT={event.orcpt}")
        rcpt = packets.envelope_address(b"R", event.forward_path, parameters)
        for each in self._filters:
            if self._discarded_by:
                break
            objection = self._followed(each, each.recipient(envelope, rcpt, known))
            if objection is not None:
                return objection
        return None

    def end(self, disposition: Disposition) -> Reply | None:
        for each in self._filters:
            if self._discarded_by:
                break
            objection = self._end_one(each, disposition)
            if objection is not None:
                return objection
        if self._discarded_by:
            disposition.discard = f"by milter {self._discarded_by}"
        return None

    def _end_one(self, each: MessageFilter, disposition: Disposition) -> Reply | None:
        options = each.session.client.options
        if each.verdict is None and 0 < options.max_size < disposition.size:
            each.leave_out()
            if _NOT_SCANNED not in disposition.on_top:
                disposition.on_top.append(_NOT_SCANNED)
            return None
        header = FilteredHeader(disposition.header.raw, disposition.on_top[::-1])
        assert self._envelope is not None
        said = each.content(FilteredMessage(header.fields(), disposition.body), self._envelope.known)
        objection = self._followed(each, said)
        if objection is None and each.changes and not self._discarded_by:
            _Changes(each, header, disposition, self._transaction.rules.accounts).make()
        return objection

    def _followed(self, each: MessageFilter, said: Verdict) -> Reply | None:
        if said.action is FilterAction.DISCARD:
            self._discarded_by = each.name
        if said.refusal is None:
            return None
        return Reply(said.refusal.code, said.refusal.enhanced, said.refusal.text)

    def summary(self) -> str:
        found = (f"{each.name}={each.outcome} ({each.took_s * 1000:.0f} ms)" for each in self._filters if each.outcome)
        shown = ", ".join(found)
        return f"milter: {shown}" if shown else ""

    def close(self) -> None:
        for each in self._filters:
            each.close()


class _Changes:
    """The changes of one filter to a message."""

    def __init__(
        self, made_by: MessageFilter, header: FilteredHeader, disposition: Disposition, accounts: Accounts
    ) -> None:
        self._filter = made_by
        self._header = header
        self._disposition = disposition
        self._accounts = accounts
        connection = made_by.session.connection
        self._leading_space = connection is not None and connection.leading_space
        self._spam = made_by.session.client.options.spam_header.lower().encode()
        self._is_header_changed = False

    def make(self) -> None:
        for change in self._filter.changes:
            match change:
                case InsertField():
                    self._insert(change)
                case ChangeField():
                    self._change(change)
                case AddRecipient():
                    self._disposition.add_recipient(self._address(change.path))
                case DeleteRecipient():
                    self._disposition.remove_recipient(self._address(change.path))
                case Quarantine():
                    self._disposition.hold = (
                        f"quarantine: milter {self._filter.name}: {change.reason or 'no reason given'}"
                    )
        if self._is_header_changed:
            self._disposition.header = HeaderBlock(self._header.raw)
            self._disposition.on_top[:] = self._header.above[::-1]

    def _insert(self, change: InsertField) -> None:
        self._header.insert(change, leading_space=self._leading_space)
        self._note_field(change.name, change.value)

    def _change(self, change: ChangeField) -> None:
        self._header.change(change, leading_space=self._leading_space)
        self._note_field(change.name, change.value)

    def _note_field(self, name: bytes, value: bytes) -> None:
        self._is_header_changed = True
        is_spam = self._spam and name.lower() == self._spam and value.strip().lower().startswith(b"yes")
        if is_spam and not self._disposition.accepted:
            self._disposition.junk = f"milter {self._filter.name}: {name.decode()}"

    def _address(self, path: str) -> str:
        """Return the address in a path; the primary domain completes a name alone."""
        return path if "@" in path else self._accounts.canonical(path)

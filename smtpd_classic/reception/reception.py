"""The answers to each event of one session.

Rule 1: `policy` is asked at every event, in one place; `content` asks it for the header block.
Rule 2: a row of its table for an event that is never asked is an error at start.
Rule 3: no input from a client makes `answer()` raise.

The RFC's words (reverse-path, forward-path) become the administrator's here (sender, recipient).
"""

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from smtpd_classic.policy import CHECKS, Client, ClientContext, Transaction, expand, require_asked, verify
from smtpd_classic.reception.content import ContentReader
from smtpd_classic.reception.journal import ReceptionLog
from smtpd_classic.reception.login import LoginDialogue
from smtpd_classic.reception.message import IncomingMessage
from smtpd_classic.services import Services
from smtpd_classic.smtp.events import (
    Auth,
    AuthAbandoned,
    AuthResponse,
    Connected,
    Content,
    EndContent,
    Event,
    Expand,
    HeaderRead,
    Hello,
    Help,
    MailFrom,
    Noop,
    Quit,
    RcptTo,
    Reset,
    StartContent,
    StartTls,
    Verify,
)
from smtpd_classic.smtp.replies import (
    BAD_RECIPIENT_ADDRESS,
    BAD_SENDER_ADDRESS,
    BLOCKED,
    GOODBYE,
    HELP,
    LOCAL_ERROR,
    NOOP_OK,
    OVERLOADED,
    READY_FOR_TLS,
    RECIPIENT_OK,
    RELAY_DENIED,
    RESET_OK,
    SENDER_OK,
    START_CONTENT,
    banner,
    hello,
)
from smtpd_classic.smtp.reply import Reply
from smtpd_classic.smtp.session import ServerSession
from spool import new_queue_id

__all__ = ["Reception"]

_FEW_REFUSED = 2  # attempts to relay in a session that a misconfigured client may make


class Reception:
    """The server's side of one session. `_subject` is the transaction of the present decision."""

    __slots__ = (
        "_journal",
        "_last",
        "_login",
        "_nothing",
        "_peer",
        "_policy",
        "_reader",
        "_relaying_refused",
        "_services",
        "_session",
        "_subject",
        "_transaction",
    )

    def __init__(self, session: ServerSession, client: Client, services: Services) -> None:
        self._session = session
        self._services = services
        self._policy = services.policy(client.listener)
        self._peer = ClientContext(client, self._policy.rules, session=session)
        session.trusted = self._peer.originates_here
        self._relaying_refused = 0
        self._journal = ReceptionLog(services.log, services.runtime, self._peer, session)
        self._login = LoginDialogue(services, self._peer, self._journal)
        self._nothing = self._transaction = self._subject = self._new_transaction()  # before MAIL
        self._reader: ContentReader | None = None
        self._last = "CONNECT"

    def answer(self, event: Event) -> Reply | None:
        """Return the reply; None for an event that has no reply."""
        kind = type(event)
        if (step := _STEPS.get(kind)) is None:
            self._note(event)
            return None
        command, accept, prepare, refuse, is_counted = step
        self._subject = self._transaction
        try:
            objection = None if prepare is None else prepare(self, event)
            if objection is None:
                objection = self._policy.first_objection(self._subject, event)
            reply = accept(self, event) if objection is None else refuse(self, event, objection)
        except Exception as problem:  # invariant 9; the log names the bug or the broken file
            self._journal.warning(f"{kind.__name__} deferred: {type(problem).__name__}: {problem}")
            reply = LOCAL_ERROR
        if is_counted:
            self._last = command
            self._journal.count_command(command, positive=reply.positive)
        return reply

    def _note(self, event: Event) -> None:
        """Take an event that has no reply."""
        if isinstance(event, AuthAbandoned):
            self._login.abandon()
        elif isinstance(event, Content) and self._reader is not None:
            self._reader.take(event)

    def closed(self, reason: str) -> None:
        """End the session after the connection has closed; `reason` is "quit", or the error that ended it."""
        self._end_transaction()
        self._login.abandon()
        for end in self._peer.on_close:
            end()
        self._login.count_attacks(self._session.attacks + max(self._relaying_refused - _FEW_REFUSED, 0))
        self._journal.disconnected(reason, self._last)

    def _new_transaction(self, sender: str = "", size: int = 0) -> Transaction:
        return Transaction(self._peer, self._policy.rules, sender, size)

    def _end_transaction(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.abandon()
        transaction, self._transaction = self._transaction, self._nothing
        checks, transaction.content_checks = transaction.content_checks, ()  # they refer to each other
        for check in checks:
            try:
                check.close()
            except Exception as problem:  # the message may be stored: another reply would have it sent again
                self._journal.warning(f"{transaction.queue_id}: {type(check).__name__}: {problem!r}")

    def _refused(self, event: Event, objection: Reply) -> Reply:
        if not objection.positive:
            self._journal.rejected(_STEPS[type(event)].command, objection, None)
        return objection

    # The session

    def _connected(self, event: Connected) -> Reply:
        return banner(self._services.helo_name)

    def _connection_refused(self, event: Connected, objection: Reply) -> Reply:
        if objection is BLOCKED:
            self._journal.count("blocked")
        # A banner is 220, 554 or 421 (RFC 5321 3.1, 4.3.2).
        return self._refused(event, OVERLOADED if objection is LOCAL_ERROR else objection)

    def _hello(self, event: Hello) -> Reply:
        self._end_transaction()
        self._peer.hello = event.name
        return hello(self._services.helo_name)

    def _start_tls(self, event: StartTls) -> Reply:
        """Discard all knowledge of the client (RFC 3207 4.2)."""
        self._peer.login = None
        self._end_transaction()
        return READY_FOR_TLS

    def _auth(self, event: Auth) -> Reply:
        return self._login.begin(event)

    def _auth_response(self, event: AuthResponse) -> Reply:
        return self._login.go_on(event)

    def _lookup(self, event: Verify | Expand) -> None:
        self._subject = self._new_transaction()

    def _verify(self, event: Verify) -> Reply:
        return self._refused(event, verify(self._subject, event))

    def _expand(self, event: Expand) -> Reply:
        return self._refused(event, expand(self._subject, event))

    def _reset(self, event: Reset) -> Reply:
        self._end_transaction()
        return RESET_OK

    # The transaction

    def _sender(self, event: MailFrom) -> Reply | None:
        """Complete the sender, and begin a transaction for the decision."""
        if event.reverse_path:
            address = self._peer.completed(event.reverse_path)
            if address is None:
                return BAD_SENDER_ADDRESS
            event.reverse_path = address
        self._subject = self._new_transaction(event.reverse_path, event.size or 0)
        return None

    def _mail_from(self, event: MailFrom) -> Reply:
        self._end_transaction()  # one whose last chunk was refused is open still
        transaction = self._subject
        transaction.mail = event
        transaction.arrival = self._services.clock()
        transaction.queue_id = new_queue_id(transaction.arrival)
        transaction.content_checks = self._policy.content_checks(transaction)
        self._transaction = transaction
        return SENDER_OK

    def _sender_refused(self, event: MailFrom, objection: Reply) -> Reply:
        self._journal.rejected("MAIL", objection, event.reverse_path)
        return objection

    def _recipient(self, event: RcptTo) -> Reply | None:
        """Complete the recipient."""
        if event.forward_path != "postmaster":
            address = self._peer.completed(event.forward_path)
            if address is None:
                return BAD_RECIPIENT_ADDRESS
            event.forward_path = address
        return None

    def _rcpt_to(self, event: RcptTo) -> Reply:
        transaction = self._transaction
        if transaction.recipient is None:
            return self._recipient_refused(event, LOCAL_ERROR)
        transaction.recipients.append(transaction.recipient)
        transaction.paths.append(event)
        return RECIPIENT_OK

    def _recipient_refused(self, event: RcptTo, objection: Reply) -> Reply:
        self._relaying_refused += objection is RELAY_DENIED
        self._journal.rejected("RCPT", objection, self._transaction.sender, event.forward_path)
        return objection

    def _start_content(self, event: StartContent) -> Reply:
        message = IncomingMessage(self._services, self._session, self._journal, self._transaction)
        self._reader = ContentReader(self._policy, self._transaction, message)
        return START_CONTENT

    def _content_refused(self, event: StartContent, objection: Reply) -> Reply:
        self._journal.rejected("DATA", objection, self._transaction.sender)
        return objection

    def _complete(self, event: EndContent) -> Reply | None:
        return LOCAL_ERROR if self._reader is None else self._reader.complete()

    def _end_content(self, event: EndContent) -> Reply:
        reader = self._reader
        reply = LOCAL_ERROR if reader is None else reader.commit()
        self._end_transaction()
        return reply

    def _message_refused(self, event: EndContent, objection: Reply) -> Reply:
        if self._reader is not None:
            self._reader.message.refused(objection)
        self._end_transaction()
        return objection


class _Step(NamedTuple):
    """The treatment of one kind of event: `prepare` may object before the policy is asked; then `accept` or `refuse`.
    `command` names it in the log; `is_counted` if the end of the session gives its number."""

    command: str
    accept: Callable[[Reception, Any], Reply]
    prepare: Callable[[Reception, Any], Reply | None] | None = None
    refuse: Callable[[Reception, Any, Reply], Reply] = Reception._refused
    is_counted: bool = True


# Behind the class: within its body, a compiler of Python could not name the methods.
_STEPS: Final[dict[type[Event], _Step]] = {
    Connected: _Step("CONNECT", Reception._connected, None, Reception._connection_refused, is_counted=False),
    Hello: _Step("EHLO", Reception._hello),
    StartTls: _Step("STARTTLS", Reception._start_tls),
    Auth: _Step("AUTH", Reception._auth),
    AuthResponse: _Step("AUTH", Reception._auth_response),
    MailFrom: _Step("MAIL", Reception._mail_from, Reception._sender, Reception._sender_refused),
    RcptTo: _Step("RCPT", Reception._rcpt_to, Reception._recipient, Reception._recipient_refused),
    StartContent: _Step("DATA", Reception._start_content, None, Reception._content_refused),
    EndContent: _Step(
        "DATA", Reception._end_content, Reception._complete, Reception._message_refused, is_counted=False
    ),
    Reset: _Step("RSET", Reception._reset),
    Verify: _Step("VRFY", Reception._verify, Reception._lookup),
    Expand: _Step("EXPN", Reception._expand, Reception._lookup),
    Help: _Step("HELP", lambda reception, event: HELP),
    Noop: _Step("NOOP", lambda reception, event: NOOP_OK),
    Quit: _Step("QUIT", lambda reception, event: GOODBYE),
}
require_asked(CHECKS, {*_STEPS, HeaderRead})

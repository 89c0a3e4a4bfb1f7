"""The answers to each event of one session.

The RFC's words (reverse-path, forward-path) become the administrator's here (sender, recipient). `policy` makes the
decisions, and `content` writes the message. No input from a client makes `answer()` raise.
"""

from collections.abc import Callable
from typing import Any

from smtpd_classic.policy import Client, ClientContext, Transaction, expand, verify
from smtpd_classic.reception.content import ContentReader
from smtpd_classic.reception.journal import ReceptionLog
from smtpd_classic.reception.login import LoginDialogue
from smtpd_classic.reception.message import IncomingMessage
from smtpd_classic.services import Services
from smtpd_classic.smtp.events import (
    Auth,
    AuthResponse,
    Connected,
    Content,
    EndContent,
    Event,
    Expand,
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

__all__ = ["Reception"]

_NO_MAIL = MailFrom("")
_FEW_REFUSED = 2  # attempts to relay in a session that a misconfigured client may make


class Reception:
    __slots__ = (
        "_asked",
        "_journal",
        "_last",
        "_login",
        "_mail",
        "_nothing",
        "_policy",
        "_reader",
        "_relaying_refused",
        "_services",
        "_session",
        "_transaction",
        "_visitor",
    )

    def __init__(self, session: ServerSession, client: Client, services: Services) -> None:
        self._session = session
        self._services = services
        self._policy = services.policy(client.listener)
        self._visitor = ClientContext(client, self._policy.rules)
        session.trusted = self._visitor.originates_here
        self._relaying_refused = 0
        self._journal = ReceptionLog(services.log, services.runtime, client, session)
        self._login = LoginDialogue(services, self._visitor, self._journal)
        self._nothing = self._transaction = self._new_transaction()  # before MAIL
        self._mail = _NO_MAIL
        self._asked: list[RcptTo] = []
        self._reader: ContentReader | None = None
        self._last = "CONNECT"

    def answer(self, event: Event) -> Reply | None:
        """Return the reply; None for a piece of content, which has no reply."""
        kind = type(event)
        if kind is Content:
            if self._reader is not None:
                self._reader.take(event.data)  # type: ignore[union-attr]
            return None
        name, answer = _ANSWERS[kind]
        try:
            reply = answer(self, event)
        except Exception as problem:  # invariant 9; the log names the bug or the broken file
            self._journal.warning(f"{kind.__name__} deferred: {type(problem).__name__}: {problem}")
            reply = LOCAL_ERROR
        if name:
            self._last = name
            self._journal.tally(name, positive=reply.positive)
        return reply

    def closed(self, reason: str) -> None:
        """End the session after the connection has closed; `reason` is "quit", or the error that ended it."""
        self._end_transaction()
        self._login.count_attacks(self._session.attacks + max(self._relaying_refused - _FEW_REFUSED, 0))
        self._journal.disconnected(reason, self._last)

    def _new_transaction(self, sender: str = "", size: int = 0) -> Transaction:
        return Transaction(self._visitor, self._policy.rules, sender, size)

    def _end_transaction(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.abandon()
        self._transaction = self._nothing

    # The session -------------------------------------------------------------------------------------------------

    def _connected(self, event: Connected) -> Reply:
        objection = self._policy.first_objection(self._transaction, event)
        if objection is None:
            return banner(self._services.helo_name)
        if objection is BLOCKED:
            self._journal.count("blocked")
        if objection is LOCAL_ERROR:  # a banner is 220, 554 or 421 (RFC 5321 3.1, 4.3.2)
            objection = OVERLOADED
        self._journal.rejected("CONNECT", objection, None)
        return objection

    def _hello(self, event: Hello) -> Reply:
        self._end_transaction()
        self._visitor.hello = event.name
        return hello(self._services.helo_name)

    def _start_tls(self, event: StartTls) -> Reply:
        """Discard all knowledge of the client (RFC 3207 4.2)."""
        self._visitor.login = None
        self._end_transaction()
        return READY_FOR_TLS

    def _auth(self, event: Auth) -> Reply:
        return self._login.begin(event)

    def _auth_response(self, event: AuthResponse) -> Reply:
        return self._login.go_on(event)

    def _verify(self, event: Verify) -> Reply:
        return self._answered("VRFY", verify(self._new_transaction(), event.argument))

    def _expand(self, event: Expand) -> Reply:
        return self._answered("EXPN", expand(self._new_transaction(), event.argument))

    def _answered(self, command: str, reply: Reply) -> Reply:
        if not reply.positive:
            self._journal.rejected(command, reply, None)
        return reply

    def _help(self, event: Help) -> Reply:
        return HELP

    def _noop(self, event: Noop) -> Reply:
        return NOOP_OK

    def _quit(self, event: Quit) -> Reply:
        return GOODBYE

    def _reset(self, event: Reset) -> Reply:
        self._end_transaction()
        return RESET_OK

    # The transaction ---------------------------------------------------------------------------------------------

    def _mail_from(self, event: MailFrom) -> Reply:
        if event.reverse_path and "@" not in event.reverse_path:
            if not self._visitor.originates_here:
                self._journal.rejected("MAIL", BAD_SENDER_ADDRESS, event.reverse_path)
                return BAD_SENDER_ADDRESS
            event.reverse_path = self._completed(event.reverse_path)
        transaction = self._new_transaction(event.reverse_path, event.size or 0)
        objection = self._policy.first_objection(transaction, event)
        if objection is not None:
            self._journal.rejected("MAIL", objection, event.reverse_path)
            return objection
        self._transaction, self._mail, self._asked = transaction, event, []
        return SENDER_OK

    def _completed(self, local_part: str) -> str:
        """Return the address for a local part alone, as programs of this machine and old devices write it."""
        return f"{local_part}@{self._services.config.server.primary_domain}"

    def _rcpt_to(self, event: RcptTo) -> Reply:
        transaction = self._transaction
        if "@" not in event.forward_path and event.forward_path != "postmaster":
            if not self._visitor.originates_here:
                self._journal.rejected("RCPT", BAD_RECIPIENT_ADDRESS, transaction.sender, event.forward_path)
                return BAD_RECIPIENT_ADDRESS
            event.forward_path = self._completed(event.forward_path)
        objection = self._policy.first_objection(transaction, event)
        if objection is not None or transaction.addressee is None:
            objection = objection or LOCAL_ERROR
            self._relaying_refused += objection is RELAY_DENIED
            self._journal.rejected("RCPT", objection, transaction.sender, event.forward_path)
            return objection
        transaction.recipients.append(transaction.addressee)
        self._asked.append(event)
        return RECIPIENT_OK

    def _start_content(self, event: StartContent) -> Reply:
        objection = self._policy.first_objection(self._transaction, event)
        if objection is not None:
            self._journal.rejected("DATA", objection, self._transaction.sender)
            return objection
        message = IncomingMessage(
            self._services, self._session, self._journal, self._transaction, self._mail, self._asked
        )
        self._reader = ContentReader(self._policy, self._transaction, message)
        return START_CONTENT

    def _end_content(self, event: EndContent) -> Reply:
        reader = self._reader
        reply = LOCAL_ERROR if reader is None else reader.finish(event)
        self._end_transaction()
        return reply


# Behind the class: within its body, a compiler of Python could not name the methods.
_ANSWERS: dict[type[Event], tuple[str, Callable[[Reception, Any], Reply]]] = {
    Connected: ("", Reception._connected),
    Hello: ("EHLO", Reception._hello),
    StartTls: ("STARTTLS", Reception._start_tls),
    Auth: ("AUTH", Reception._auth),
    AuthResponse: ("AUTH", Reception._auth_response),
    MailFrom: ("MAIL", Reception._mail_from),
    RcptTo: ("RCPT", Reception._rcpt_to),
    StartContent: ("DATA", Reception._start_content),
    EndContent: ("", Reception._end_content),
    Reset: ("RSET", Reception._reset),
    Verify: ("VRFY", Reception._verify),
    Expand: ("EXPN", Reception._expand),
    Help: ("HELP", Reception._help),
    Noop: ("NOOP", Reception._noop),
    Quit: ("QUIT", Reception._quit),
}

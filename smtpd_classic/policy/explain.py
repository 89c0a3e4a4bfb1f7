"""The reason why a message would be accepted or refused: the server's own checks, run one by one."""

import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

from smtpd_classic.accounts import NORMAL
from smtpd_classic.config.schema import Config, Listener
from smtpd_classic.policy.approvals import approval_for
from smtpd_classic.policy.archive import archives
from smtpd_classic.policy.checks import CHECKS, CONTENT_CHECKS, PolicyCheck
from smtpd_classic.policy.recipients import resolve
from smtpd_classic.policy.relaying import permission
from smtpd_classic.policy.rules import Rules
from smtpd_classic.policy.sending_limits import exceeded_limit
from smtpd_classic.policy.transaction import Client, ClientContext, ResolvedRecipient, Transaction
from smtpd_classic.smtp.address import BadAddress, parse_path
from smtpd_classic.smtp.events import (
    Auth,
    AuthResponse,
    Connected,
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
    LOCAL_ERROR,
    LOGIN_FAILED,
    RECIPIENT_OK,
)
from smtpd_classic.smtp.reply import Reply

__all__ = ["Explanation", "Question", "Step", "explain", "likely_listener"]


class Question(NamedTuple):
    """One message to explain. Blank `login`: not logged in. Blank `sender`: the null sender. `size`: the size that MAIL
    would declare, 0 for none. `hello`: the name in EHLO."""

    ip: str
    sender: str
    recipient: str
    login: str = ""
    size: int = 0
    client_name: str = "unknown"
    hello: str = ""


class Step(NamedTuple):
    """One check and its result. `[section] option` is the setting that decided; `place` is `file:line` where it is set,
    or the file alone when it has its default."""

    command: str
    check: str
    section: str
    option: str
    place: str
    outcome: str


class Explanation(NamedTuple):
    """The reply to the last command, the step that made it, the destination of the mail, and every row of the tables of
    checks as a step, those that could not be asked included."""

    reply: Reply
    decided: Step
    steps: tuple[Step, ...]
    targets: tuple[str, ...]

    @property
    def accepted(self) -> bool:
        return self.reply.positive


def likely_listener(config: Config, *, login: bool) -> Listener:
    """Return the listener that such a client would use: for a login the first that offers one, else that for other
    servers."""
    listeners = [each for each in config.listeners if not each.is_lmtp]
    wanted = [each for each in listeners if (each.auth != "none") == login] or listeners
    return wanted[0] if wanted else Listener(name="none", port=25)


def explain(rules: Rules, question: Question, clock: Callable[[], float] = time.time) -> Explanation:
    """Run the checks as the server would. If a check raises, the server would defer the client there."""
    return _Asking(rules, question, clock()).answer()


# The commands of a message, as `Step` names them, and those at which nothing is known of the message.
_COMMANDS: dict[type[Event], str] = {
    Connected: "connect",
    Hello: "EHLO",
    StartTls: "STARTTLS",
    Auth: "AUTH",
    AuthResponse: "AUTH",
    MailFrom: "MAIL",
    RcptTo: "RCPT",
    StartContent: "DATA",
    HeaderRead: "header",
    EndContent: "end",
}
_LATER = {"header": "DATA", "end": "DATA"}
_OTHERS: dict[type[Event], str] = {
    Verify: "VRFY",
    Expand: "EXPN",
    Help: "HELP",
    Noop: "NOOP",
    Reset: "RSET",
    Quit: "QUIT",
}


class _Asking:
    def __init__(self, rules: Rules, question: Question, now: float) -> None:
        self._rules = rules
        self._question = question
        client = Client(question.ip, 0, question.client_name, rules.listener)
        self._transaction = Transaction(ClientContext(client, rules, hello=question.hello), rules)
        self._transaction.arrival = now
        self._steps: list[Step] = []
        self._asked: list[PolicyCheck] = []

    def answer(self) -> Explanation:
        reply = next((each for each in self._replies() if each is not None), RECIPIENT_OK)
        decided = self._deciding(reply)
        self._note_others(reply)
        recipient = self._transaction.recipient
        targets = self._targets(recipient) if reply.positive and recipient is not None else ()
        return Explanation(reply, decided, tuple(self._steps), targets)

    def _targets(self, recipient: ResolvedRecipient) -> tuple[str, ...]:
        members_of = self._rules.accounts.members_of
        members = (each for group in recipient.groups for each in members_of(group).ends)
        return tuple(dict.fromkeys((*recipient.targets, *members)))

    def _deciding(self, reply: Reply) -> Step:
        """Return the step that objected, or the step that gave the permission."""
        if reply.positive:
            return next((step for step in self._steps if step.check == "close_open_relay"), self._steps[-1])
        return self._steps[-1]

    def _replies(self) -> Iterator[Reply | None]:
        question = self._question
        yield from self._ask("connect", Connected())
        yield self._log_in()
        try:
            sender = self._completed(question.sender) if question.sender else ""
        except BadAddress as problem:
            self._note("MAIL", "syntax", "", "", f"the sender is no address: {problem}")
            yield BAD_SENDER_ADDRESS
            return
        self._transaction.sender, self._transaction.size = sender, question.size
        yield from self._ask("MAIL", MailFrom(sender, question.size or None))
        yield from self._ask_recipient()

    def _completed(self, path: str) -> str:
        """Return the address in a path as the server reads it. Raises BadAddress."""
        found = self._transaction.peer.completed(parse_path(path, utf8=True))
        if found is None:
            raise BadAddress("there is no @, and the client is a stranger")
        return found

    def _log_in(self) -> Reply | None:
        login = self._question.login
        if not login:
            return None
        account = self._rules.accounts.account(login)
        listener = f"listener {self._rules.listener.name}"
        if self._rules.listener.auth == "none":
            self._note("AUTH", "login", listener, "auth", "none: this listener offers no login")
            return LOGIN_FAILED
        if account is None or account.status != NORMAL:
            self._note(
                "AUTH", "login", "server", "users_file", f"{login} is {account.status if account else 'no account'}"
            )
            return LOGIN_FAILED
        self._note("AUTH", "login", "server", "users_file", f"{account.address} logs in, if the password is right")
        self._transaction.peer.login = account
        return None

    def _ask_recipient(self) -> Iterator[Reply | None]:
        recipient = self._question.recipient
        try:
            path = recipient if recipient.lower() == "postmaster" else self._completed(recipient)
            self._transaction.recipient = resolve(self._rules, path)
        except BadAddress as problem:
            self._note("RCPT", "syntax", "", "", f"the recipient is no address: {problem}")
            yield BAD_RECIPIENT_ADDRESS
            return
        except Exception as problem:  # as in the server: an undecided check defers
            self._note("RCPT", "accounts", "server", "users_file", f"cannot be told: {problem}")
            yield LOCAL_ERROR
            return
        yield from self._ask("RCPT", RcptTo(path))

    def _note_others(self, reply: Reply) -> None:
        """Add the rows that were not asked: those behind an objection, and those that need more than the envelope."""
        for row in CHECKS:
            if row in self._asked:
                continue
            command = _OTHERS.get(row.event) or _COMMANDS[row.event]
            if not row.is_on(self._rules):
                outcome = "off"
            elif row.event in _OTHERS:
                outcome = f"asked only at {command}"
            elif not reply.positive:
                outcome = "not asked: the message was refused before"
            else:
                outcome = f"not known before {_LATER.get(command, command)}"
            self._note(command, row.option, *self._option_of(row), outcome)
        for content_row in CONTENT_CHECKS:
            is_on = content_row.is_on(self._rules)
            outcome = "not known before DATA" if reply.positive else "not asked: the message was refused before"
            place = content_row.section, content_row.option
            self._note("end", content_row.option, *place, outcome if is_on else "off")

        self._note_archives(reply)

    def _note_archives(self, reply: Reply) -> None:
        """Add steps for archive, approval and a hold over a limit, which object to nothing."""
        transaction = self._transaction
        if transaction.recipient is not None and reply.positive:
            transaction.recipients = [transaction.recipient]
            found = ", ".join(archives(transaction))
            if found:
                self._note("end", "archive", "archive", "", f"a copy goes to {found}")
            approval = approval_for(transaction)
            if approval is not None:
                scope = {"both": "inside and outside"}.get(approval.scope, approval.scope)
                said = f"recipients {scope} wait for approval by {', '.join(approval.managers)}"
                self._note("end", "approval", f"approval {approval.name}", "senders", said)
            if self._rules.config.limits.over_limit == "hold":
                self._note_hold()

    def _note_hold(self) -> None:
        try:
            limit = exceeded_limit(self._transaction)
            said = f"its recipients elsewhere would be held: the limit of {limit} is reached" if limit else ""
        except OSError as problem:
            said = f"cannot be told now: {problem}"
        if said:
            self._note("end", "over_limit", "limits", "over_limit", said)

    def _ask(self, command: str, event: Event) -> Iterator[Reply | None]:
        for row in CHECKS:
            if row.event is type(event):
                yield self._ask_one(command, event, row)

    def _ask_one(self, command: str, event: Event, row: PolicyCheck) -> Reply | None:
        self._asked.append(row)
        section, option = self._option_of(row)
        if not row.is_on(self._rules):
            self._note(command, row.option, section, option, "off")
            return None
        try:
            reply = row.check(self._transaction, event)
        except Exception as problem:  # as in the server: an undecided check defers
            self._note(command, row.option, section, option, f"cannot be told now: {problem}")
            return LOCAL_ERROR
        if row.option == "close_open_relay":
            found = permission(self._transaction)
            self._note(command, row.option, found.section, found.option, found.why)
        else:
            self._note(command, row.option, section, option, "no objection" if reply is None else str(reply))
        return reply

    def _option_of(self, row: PolicyCheck) -> tuple[str, str]:
        """Return the section and name of a check's option; two belong to the listener, some checks have no option."""
        listener = f"listener {self._rules.listener.name}"
        if row.section == "listener":
            return listener, row.option
        if row.section == "accounts":
            return "server", "users_file"
        if row.section == "direct":
            recipient = self._transaction.recipient
            direct = self._rules.direct_domain(recipient.domain) if recipient is not None else None
            return f"direct {direct.name}" if direct is not None else "direct", row.option
        if row.option in {"refuse", "allow_only"} and not self._rules.config.line("access", row.option):
            return listener, row.option
        return row.section, {"delivered_to": "max_hops"}.get(row.option, row.option)

    def _note(self, command: str, check: str, section: str, option: str, outcome: str) -> None:
        config = self._rules.config
        line = config.lines.get((section, option), 0)
        place = f"{config.path}:{line}" if line else config.path
        self._steps.append(Step(command, check, section, option, place, outcome))

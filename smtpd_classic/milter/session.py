"""The filters of one session of SMTP, and of one message in it.

Rule 1: a filter has one connection in a session, kept for its messages. A kept connection that has died since the last
message is replaced once; one on which the filter has broken the protocol is not, for its last verdict is doubtful.
Rule 2: a filter that fails decides nothing: `when_down` does. Its changes are dropped.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from smtpd_classic.config.schema import Milter
from smtpd_classic.milter import packets
from smtpd_classic.milter.connection import Budget, MilterConnection, MilterFailure, MilterTimeouts
from smtpd_classic.milter.replies import Change, FilterAction, Quarantine, Refusal, Verdict
from smtpd_classic.milter.symbols import CONNECT, DATA, END_OF_HEADER, HELO, MAIL, RCPT
from smtpd_classic.pool import Neighbour

__all__ = ["FilterClient", "FilteredEnvelope", "FilteredMessage", "MessageFilter", "SessionFilter"]

_NOT_SCANNED = "not scanned (size)"
_RESULTS = {FilterAction.DISCARD.value: "discarded", _NOT_SCANNED: "not_scanned"}
_PASS = Verdict(FilterAction.ACCEPT)
_DOWN = {
    "accept": _PASS,
    "defer": Verdict(
        FilterAction.REFUSE, Refusal(451, "4.7.1", "A filter cannot be asked at the moment; try again later.")
    ),
    "refuse": Verdict(
        FilterAction.REFUSE, Refusal(550, "5.7.1", "A filter cannot be asked, so the message is refused.")
    ),
}


@dataclass(frozen=True, slots=True)
class FilterClient:
    """A filter as this process sees it. `report` takes the reason of a failure, blank for success, and the seconds that
    the filter took; `count` takes the result of a message and these seconds."""

    options: Milter
    neighbour: Neighbour
    report: Callable[[str, float], None]
    count: Callable[[str, float], None]

    @property
    def name(self) -> str:
        return self.options.name

    def connect(self, budget: Budget) -> MilterConnection:
        options = self.options
        timeouts = MilterTimeouts(options.command_timeout.total_seconds(), options.content_timeout.total_seconds())
        return MilterConnection(self.neighbour, timeouts, budget)


@dataclass(frozen=True, slots=True)
class FilteredEnvelope:
    """The client and the sender, with the values of all macros known at MAIL. `ip` is that of the client."""

    host: str
    ip: str
    port: int
    hello: str
    sender: str
    parameters: tuple[str, ...]
    known: Mapping[str, str]


@dataclass(slots=True)
class FilteredMessage:
    """The content for one filter: its fields, and its body with LF line ends."""

    fields: Iterable[tuple[bytes, bytes]]
    body: Callable[[], Iterator[bytes]]


@dataclass(slots=True)
class SessionFilter:
    """A filter in one session. `ended` is its verdict for the whole session, if it has given one."""

    client: FilterClient
    connection: MilterConnection | None = None
    ended: Verdict | None = None
    _hello: str = ""

    def begin(self, envelope: FilteredEnvelope, budget: Budget) -> Verdict:
        """Send all from the connection to MAIL that the filter does not know yet. Raises MilterFailure."""
        if self.ended is not None:
            return self.ended
        if self.connection is not None:
            try:
                return self._begin(self.connection, envelope, budget)
            except MilterFailure as problem:
                self.drop()
                if problem.is_violation:
                    raise
        self.connection, self._hello = self.client.connect(budget), ""
        address = packets.connect(envelope.host, envelope.ip, envelope.port)
        said = self.connection.command(CONNECT, address, envelope.known, budget)
        return self._for_session(said) or self._begin(self.connection, envelope, budget)

    def _begin(self, connection: MilterConnection, envelope: FilteredEnvelope, budget: Budget) -> Verdict:
        if envelope.hello != self._hello:
            hello = packets.packet(b"H", packets.text(envelope.hello))
            said = self._for_session(connection.command(HELO, hello, envelope.known, budget))
            if said is not None:
                return said
            self._hello = envelope.hello
        mail = packets.envelope_address(b"M", envelope.sender, envelope.parameters)
        return connection.command(MAIL, mail, envelope.known, budget)

    def _for_session(self, said: Verdict) -> Verdict | None:
        if said.action is FilterAction.CONTINUE:
            return None
        self.ended = said
        self.close()
        return said

    def drop(self) -> None:
        """Close a connection that has failed."""
        if self.connection is not None:
            self.connection.close()
            self.connection = None

    def close(self) -> None:
        """End the connection of the session."""
        if self.connection is not None:
            self.connection.quit()
            self.connection = None


@dataclass(slots=True)
class MessageFilter:
    """A filter and one message. `outcome` is its result for the log; `verdict` is set when it is asked no more."""

    session: SessionFilter
    budget: Budget
    verdict: Verdict | None = None
    outcome: str = ""
    took_s: float = 0.0
    _begun: bool = False
    _open: bool = False
    changes: list[Change] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.session.client.name

    def recipient(self, envelope: FilteredEnvelope, rcpt: bytes, known: Mapping[str, str]) -> Verdict:
        """Return the verdict on a recipient; the first one begins the message."""
        if self.verdict is not None:
            return self.verdict
        return self._asked(lambda: self._recipient(envelope, rcpt, known))

    def _recipient(self, envelope: FilteredEnvelope, rcpt: bytes, known: Mapping[str, str]) -> Verdict:
        if not self._begun:
            said = self.session.begin(envelope, self.budget)
            self._begun = self._open = True
            if said.action is not FilterAction.CONTINUE:
                self._end(said)
                return said
        assert self.session.connection is not None
        said = self.session.connection.command(RCPT, rcpt, known, self.budget)
        if said.action in {FilterAction.ACCEPT, FilterAction.DISCARD}:
            self._end(said)
        return said

    def content(self, message: FilteredMessage, known: Mapping[str, str]) -> Verdict:
        """Return the verdict on the message. `changes` are those to make, unless it is refused."""
        if self.verdict is not None:
            return self.verdict
        return self._asked(lambda: self._content(message, known))

    def _content(self, message: FilteredMessage, known: Mapping[str, str]) -> Verdict:
        connection, budget = self.session.connection, self.budget
        assert connection is not None
        steps: tuple[Callable[[], Verdict], ...] = (
            lambda: connection.command(DATA, packets.packet(b"T"), known, budget),
            lambda: connection.header(message.fields, budget),
            lambda: connection.command(END_OF_HEADER, packets.packet(b"N"), known, budget),
            lambda: connection.body(message.body(), budget),
        )
        for step in steps:
            said = step()
            if said.action not in {FilterAction.CONTINUE, FilterAction.SKIP}:
                self._end(said)
                return said
        said = connection.end(known, self.changes.append, budget)
        self._open = False
        self._end(_PASS if said.action in {FilterAction.CONTINUE, FilterAction.SKIP} else said)
        return said

    def leave_out(self) -> None:
        """End the part of the filter without asking it about the content, which is too large."""
        self.verdict, self.outcome = _PASS, _NOT_SCANNED

    @property
    def result(self) -> str:
        """Return the outcome as it is counted; blank if the message has ended before it."""
        if self.outcome == FilterAction.ACCEPT.value:
            return "quarantined" if any(isinstance(each, Quarantine) for each in self.changes) else "accepted"
        if self.outcome[:1] in {"4", "5"}:
            return "deferred" if self.outcome[0] == "4" else "refused"
        return _RESULTS.get(self.outcome, self.outcome)

    def close(self) -> None:
        """End the message. The connection stays open for the next one."""
        if self.outcome:
            self.session.client.count(self.result, self.took_s)
        if self._open and self.session.connection is not None:
            self.session.connection.abort()
        self._open = False

    def _asked(self, ask: Callable[[], Verdict]) -> Verdict:
        client = self.session.client
        left_s = self.budget.left_s
        try:
            with self.budget:
                said = ask()
        except MilterFailure as problem:
            self.session.drop()
            self._open = False
            self.changes.clear()
            self.took_s += left_s - self.budget.left_s
            self.verdict, self.outcome = _DOWN[client.options.when_down], "down"
            if not problem.busy:
                client.report(str(problem), self.took_s)
            else:
                self.outcome = "busy"
            return self.verdict
        self.took_s += left_s - self.budget.left_s
        if self.verdict is not None:
            client.report("", self.took_s)
        return said

    def _end(self, said: Verdict) -> None:
        self.verdict = said
        self.outcome = said.action.value if said.refusal is None else f"{said.refusal.code}"

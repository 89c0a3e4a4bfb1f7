"""The lines of a session in the log, and its counters, in Postfix's phrases.

Text from strangers is bounded and escaped here (`printable`), for programs must be able to read the log.
"""

from collections.abc import Sequence

from smtpd_classic.log import WARNING, Log, printable
from smtpd_classic.policy import ClientContext
from smtpd_classic.runtime import Runtime
from smtpd_classic.runtime.measures import reason_measure
from smtpd_classic.smtp.reply import Reply
from smtpd_classic.smtp.session import ServerSession
from spool import Recipient

__all__ = ["ReceptionLog"]

_NO_ID = "NOQUEUE"


class ReceptionLog:
    __slots__ = ("_client", "_commands", "_counters", "_local", "_log", "_peer", "_refused", "_session")

    def __init__(self, log: Log, runtime: Runtime, peer: ClientContext, session: ServerSession) -> None:
        client = peer.client
        self._log = log
        self._peer = peer
        self._counters = runtime.counters
        self._client = printable(str(client), 320)
        self._local = f"uid={client.uid}" if client.local else ""
        self._session = session
        self._commands: dict[str, int] = {}  # the number of each
        self._refused: dict[str, int] = {}  # how many of them were refused

    def count_command(self, command: str, *, positive: bool) -> None:
        self._commands[command] = self._commands.get(command, 0) + 1
        if not positive:
            self._refused[command] = self._refused.get(command, 0) + 1

    def warning(self, text: str) -> None:
        self._log.write("smtpd", f"warning: {text}", WARNING)

    def rejected(
        self, command: str, reply: Reply, sender: str | None, recipient: str = "", queue_id: str = _NO_ID
    ) -> None:
        """Log a refusal, in the form that pflogsumm and fail2ban read. `sender` is None outside of a transaction."""
        self._counters.count("rejected")
        self._counters.measure(reason_measure(reply.enhanced))
        session = self._session
        about = f"<{printable(recipient, 256)}>: " if recipient else ""
        known = [] if sender is None else [f"from=<{printable(sender, 256)}>"]
        if recipient:
            known.append(f"to=<{printable(recipient, 256)}>")
        known.append(f"proto={session.protocol_name}")
        if session.hello:
            known.append(f"helo=<{session.hello}>")
        said = f"{reply.code} {reply.enhanced} {about}{reply.text.removesuffix('.')}"
        self._log.write("smtpd", f"{queue_id}: reject: {command} from {self._client}: {said}; {' '.join(known)}")

    def login_failed(self, mechanism: str, login: str) -> None:
        self._counters.count("logins_failed")
        name = f", sasl_username={printable(login, 128)}" if login else ""
        self.warning(f"{self._client}: SASL {mechanism} authentication failed: authentication failure{name}")

    def message(
        self, queue_id: str, sender: str, size: int, message_id: bytes, recipients: int
    ) -> list[tuple[str, str]]:
        """Return the lines for an accepted message, each with the part of the server that it names."""
        login = self._peer.login
        sasl = f", sasl_method={self._peer.mechanism}, sasl_username={login.address}" if login is not None else ""
        origin = ("smtpd", f"{queue_id}: client={self._client}{sasl}")
        if self._local:
            origin = ("pickup", f"{queue_id}: {self._local} from=<{sender}>")
        return [
            origin,
            ("cleanup", f"{queue_id}: message-id={printable(message_id, 256)}"),
            ("qmgr", f"{queue_id}: from=<{sender}>, size={size}, nrcpt={recipients} (queue active)"),
        ]

    def delivered(self, queue_id: str, recipients: Sequence[Recipient], took: str) -> list[tuple[str, str]]:
        """Return the lines for the recipients that have the message in their Maildirs."""
        outcome = f"relay=local, {took}, dsn=2.0.0, status=sent (delivered to maildir)"
        lines = []
        for each in recipients:
            orig = f" orig_to=<{each.original}>," if each.original else ""
            lines.append(("local", f"{queue_id}: to=<{each.address}>,{orig} {outcome}"))
        return lines

    def write(self, lines: Sequence[tuple[str, str]]) -> None:
        self._log.write_lines(lines)

    def count(self, what: str) -> None:
        self._counters.count(what)

    def count_several(self, counts: list[tuple[str, int]]) -> None:
        self._counters.count_several(counts)

    def delivered_after(self, seconds: float, number: int) -> None:
        self._counters.delivered_after(seconds, number)

    def disconnected(self, reason: str, last: str) -> None:
        """Log the end of a session; `reason` is blank or "quit" if nothing went wrong. Local sessions get no
        `disconnect` line, as in Postfix."""
        if reason and reason != "quit":
            self._log.write("smtpd", f"{reason} after {last} from {self._client}")
        if self._local:
            return
        counts = {**self._commands, "commands": sum(self._commands.values())}
        if self._refused:
            text = self._with_refused(counts)
        else:
            text = " ".join([f"{command}={number}" for command, number in counts.items()])
        self._log.write("smtpd", f"disconnect from {self._client} {text.lower()}")

    def _with_refused(self, counts: dict[str, int]) -> str:
        """Return the counts as `positive/all` where they differ."""
        refused = {**self._refused, "commands": sum(self._refused.values())}
        return " ".join(
            f"{command}={every - refused[command]}/{every}" if command in refused else f"{command}={every}"
            for command, every in counts.items()
        )

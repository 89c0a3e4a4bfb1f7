"""The client's side of SMTP with our own server: one message to all its recipients, in as many transactions as
the server's limit wants.

The result names every recipient, and no error is raised on the way: a broken connection leaves those who have
no answer yet.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol

from smtpd_classic.smtp.content import stuff
from smtpd_classic.submission.message import SubmittedMessage, content, qualified

__all__ = ["Channel", "ChannelBroken", "Conversation", "ServerAnswer", "SubmissionResult"]

_MOST_RECIPIENTS = 1000
_PIPELINED = 100  # so few that no side waits for room to write while the other does
_LONGEST_REPLY = 1024 * 1024
_NO_ANSWER = "the connection ended without an answer"


class ChannelBroken(Exception):
    """There is no server at the other end, or no more; the text says why."""


class Channel(Protocol):
    """The other end. Both raise OSError."""

    def send(self, data: bytes) -> None: ...

    def receive(self) -> bytes:
        """Return the received octets, none at the end."""


class ServerAnswer(NamedTuple):
    code: int
    enhanced: str
    text: str

    @property
    def positive(self) -> bool:
        return self.code < 400

    @property
    def final(self) -> bool:
        return self.code >= 500

    def __str__(self) -> str:
        return " ".join(part for part in (str(self.code), self.enhanced, self.text.replace("\n", " ")) if part)


class SubmissionResult:
    """The recipients that did not get the message. `refused` is for good, `left` for now."""

    __slots__ = ("left", "queue_ids", "refused")

    def __init__(self) -> None:
        self.queue_ids: list[str] = []
        self.refused: dict[str, ServerAnswer] = {}
        self.left: dict[str, ServerAnswer] = {}


class Conversation:
    """`open()`, `submit()` as often as wanted, `close()`. `tell` hears all that is said."""

    def __init__(self, channel: Channel, tell: Callable[[str], None] | None = None) -> None:
        self.domain = ""
        self._channel = channel
        self._tell = tell
        self._received = b""
        self._most = _MOST_RECIPIENTS

    def open(self) -> None:
        """Begin the session. Raises ChannelBroken."""
        self._expect_positive(self._answer())
        self._say("EHLO localhost")
        hello = self._expect_positive(self._answer())
        for line in hello.text.split("\n")[1:]:
            word, _, value = line.partition(" ")
            if word == "XLOCAL":
                self.domain = value
            elif word == "LIMITS" and value.startswith("RCPTMAX=") and value[8:].isdigit():
                self._most = min(self._most, int(value[8:]))

    def submit(self, message: SubmittedMessage) -> SubmissionResult:
        """Submit the message to each of its recipients."""
        result = SubmissionResult()
        waiting = dict.fromkeys(message.recipients)
        while waiting:
            batch = list(waiting)[: self._most]
            try:
                self._transact(message, batch, result)
            except (ChannelBroken, OSError) as problem:
                answer = ServerAnswer(421, "4.4.2", str(problem) or _NO_ANSWER)
                answered = result.refused.keys() | result.left.keys()
                result.left |= {each: answer for each in waiting if each not in answered}
                break
            for each in batch:
                del waiting[each]
        return result

    def close(self) -> None:
        try:
            self._say("QUIT")
            self._answer()
        except (ChannelBroken, OSError):
            return

    # One message ---------------------------------------------------------------------------------------------------

    def _transact(self, message: SubmittedMessage, batch: list[str], result: SubmissionResult) -> None:
        accepted, sender_taken = self._name(message, batch, result)
        if not accepted:
            if sender_taken:
                self._ask("RSET")
            return
        answer = self._ask("DATA")
        if answer.code == 354:
            for piece in stuff(content(message, self.domain)):
                self._channel.send(piece)
            answer = self._answer()
        if not answer.positive:
            self._settle(accepted, answer, result)
            return
        result.queue_ids.append(answer.text.rpartition(" ")[2])

    def _name(self, message: SubmittedMessage, batch: list[str], result: SubmissionResult) -> tuple[list[str], bool]:
        """Sender and recipients. Those that were accepted, and whether there is a transaction now."""
        utf8 = not message.sender.isascii() or not all(map(str.isascii, batch))
        commands = [self._mail(message, utf8=utf8), *(self._rcpt(message, each) for each in batch)]
        answers: list[ServerAnswer] = []
        for start in range(0, len(commands), _PIPELINED):
            some = commands[start : start + _PIPELINED]
            self._say(*some)
            answers += (self._answer() for _ in some)
        first, *others = answers
        if not first.positive:
            self._settle(batch, first, result)
            return [], False
        accepted: list[str] = []
        for recipient, answer in zip(batch, others, strict=True):
            if answer.positive:
                accepted.append(recipient)
            else:
                self._settle([recipient], answer, result)
        return accepted, True

    def _mail(self, message: SubmittedMessage, *, utf8: bool) -> str:
        words = [f"MAIL FROM:<{qualified(message.sender, self.domain)}>", f"SIZE={message.size}"]
        words += ["BODY=8BITMIME"] * message.eight_bit + ["SMTPUTF8"] * utf8
        words += [f"RET={message.ret}"] * bool(message.ret) + [f"ENVID={message.envid}"] * bool(message.envid)
        return " ".join(words)

    def _rcpt(self, message: SubmittedMessage, recipient: str) -> str:
        notify = f" NOTIFY={message.notify}" if message.notify else ""
        return f"RCPT TO:<{qualified(recipient, self.domain)}>{notify}"

    def _settle(self, recipients: list[str], answer: ServerAnswer, result: SubmissionResult) -> None:
        if answer.code == 421:
            raise ChannelBroken(str(answer))
        (result.refused if answer.final else result.left).update(dict.fromkeys(recipients, answer))

    # The wire ------------------------------------------------------------------------------------------------------

    def _ask(self, command: str) -> ServerAnswer:
        self._say(command)
        return self._answer()

    def _say(self, *commands: str) -> None:
        if self._tell:
            for command in commands:
                self._tell(f">>> {command}")
        self._channel.send("".join(f"{command}\r\n" for command in commands).encode("utf-8", "surrogateescape"))

    def _expect_positive(self, answer: ServerAnswer) -> ServerAnswer:
        if not answer.positive:
            raise ChannelBroken(str(answer))
        return answer

    def _answer(self) -> ServerAnswer:
        """Return the next reply. Raises ChannelBroken."""
        code, enhanced, texts = 0, "", []
        for line in self._lines():
            if self._tell:
                self._tell(line)
            if not (line[:3].isascii() and line[:3].isdigit()):
                raise ChannelBroken(f"this is no answer: {line[:80]!r}")
            code, text = int(line[:3]), line[4:]
            word, _, rest = text.partition(" ")
            if word[1:2] == "." and word.count(".") == 2 and word.replace(".", "").isdigit():
                enhanced, text = word, rest
            texts.append(text)
            if line[3:4] != "-":
                break
        return ServerAnswer(code, enhanced, "\n".join(texts))

    def _lines(self) -> Iterator[str]:
        while True:
            line, end, rest = self._received.partition(b"\r\n")
            if end:
                self._received = rest
                yield line.decode("utf-8", "replace")
                continue
            data = self._channel.receive()
            if not data or len(self._received) > _LONGEST_REPLY:
                raise ChannelBroken(_NO_ANSWER)
            self._received += data

"""One connection to a filter: the dialogue of its packets, with a deadline for each answer.

Rule 1: a filter can only make this code raise MilterFailure: when it is late, dies, or sends nonsense.
Rule 2: `accept`, `discard` and a refusal of the connection end the part of the filter; it is asked no more.
"""

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple, TypeVar

from smtpd_classic.milter import packets
from smtpd_classic.milter.packets import BadPacket, Negotiated, Packet, PacketReader, StepFlag, packet
from smtpd_classic.milter.replies import Change, FilterAction, Verdict, change, misplaced, verdict
from smtpd_classic.milter.symbols import END, MAIL, Stage
from smtpd_classic.pool import Neighbour, NeighbourBusy, NeighbourFailure

__all__ = ["Budget", "MilterConnection", "MilterFailure", "MilterTimeouts"]

T = TypeVar("T")
_CONTINUE = Verdict(FilterAction.CONTINUE)
_MOST_CHANGES = 10_000
_TOO_MANY = "one answer more than it was asked for"
_MOST_CHANGED = 4 * 1024 * 1024  # octets


class MilterFailure(Exception):
    """Raised when a filter cannot decide. `str()` gives the reason. `busy` means that only the limit of
    connections is reached, `is_violation` that the filter has broken the protocol."""

    def __init__(self, reason: str, *, busy: bool = False, is_violation: bool = False) -> None:
        super().__init__(reason)
        self.busy = busy
        self.is_violation = is_violation


class MilterTimeouts(NamedTuple):
    """How long a filter may take for the answer to a command, and to the end of the message, in seconds."""

    command_s: float
    content_s: float


class Budget:
    """The time that all filters of one message may use together, in seconds. Time between their calls is free."""

    __slots__ = ("_began", "left_s")

    def __init__(self, seconds: float) -> None:
        self.left_s = seconds
        self._began = 0.0

    def __enter__(self) -> "Budget":
        self._began = time.monotonic()
        return self

    def __exit__(self, *error: object) -> None:
        self.left_s -= time.monotonic() - self._began

    def deadline(self, within_s: float) -> float:
        """Return when an answer must be here that may take so long. Used between `enter` and `exit`."""
        return min(time.monotonic() + within_s, self._began + self.left_s)


class MilterConnection:
    """A negotiated connection. All methods raise MilterFailure, after which it can only be closed."""

    def __init__(self, neighbour: Neighbour, timeouts: MilterTimeouts, budget: Budget) -> None:
        self._timeouts = timeouts
        self._reader = PacketReader()
        self._waiting = bytearray()  # commands without an answer, sent with the next one that has one
        self._neighbour = neighbour
        try:
            self._connection = neighbour.connect(budget.deadline(timeouts.command_s))
        except NeighbourFailure as problem:
            raise MilterFailure(str(problem), busy=isinstance(problem, NeighbourBusy)) from None
        try:
            self.terms: Negotiated = self._guarded("the negotiation", lambda: self._negotiate(budget))
        except MilterFailure:
            self._connection.close()
            raise

    def _negotiate(self, budget: Budget) -> Negotiated:
        self._waiting += packets.offer()
        terms = packets.negotiated(self._answer(budget, self._timeouts.command_s))
        self._neighbour.succeeded()
        return terms

    def command(self, stage: Stage, data: bytes, known: Mapping[str, str], budget: Budget) -> Verdict:
        """Send a command with its macros, if the filter wants it, and return its verdict."""
        skipped, unanswered = _FLAGS[stage.command]
        if stage is MAIL:
            self._guarded(stage.title, self._refuse_unasked)
        if self.terms.skips(skipped):
            return _CONTINUE
        said = self._guarded(
            stage.title,
            lambda: self._ask(
                self._with_macros(stage, known) + data, budget, answered=not self.terms.skips(unanswered)
            ),
        )
        # “Skip” leaves out further fields or pieces of the body. At a command there is nothing to leave out.
        return _CONTINUE if said.action is FilterAction.SKIP else said

    def header(self, fields: Iterable[tuple[bytes, bytes]], budget: Budget) -> Verdict:
        """Send the fields. Return the first verdict that is not `continue`."""
        if self.terms.skips(StepFlag.NO_HEADERS):
            return _CONTINUE
        return self._guarded("the header", lambda: self._send_header(fields, budget))

    def _send_header(self, fields: Iterable[tuple[bytes, bytes]], budget: Budget) -> Verdict:
        leading_space, answered = self.leading_space, not self.terms.skips(StepFlag.UNANSWERED_HEADER)
        for name, value in fields:
            said = self._ask(packets.header_field(name, value, leading_space=leading_space), budget, answered=answered)
            if said.action is not FilterAction.CONTINUE:
                return said
        return _CONTINUE

    @property
    def leading_space(self) -> bool:
        """Return True if values are sent and taken with the white space before them."""
        return self.terms.skips(StepFlag.LEADING_SPACE)

    def body(self, pieces: Iterator[bytes], budget: Budget) -> Verdict:
        """Send the body in CRLF form, until the filter has enough of it."""
        if self.terms.skips(StepFlag.NO_BODY):
            return _CONTINUE
        return self._guarded("the body", lambda: self._send_body(pieces, budget))

    def _send_body(self, pieces: Iterator[bytes], budget: Budget) -> Verdict:
        answered = not self.terms.skips(StepFlag.UNANSWERED_BODY)
        for chunk in _chunks(pieces):
            said = self._ask(packet(b"B", chunk), budget, answered=answered)
            if said.action is FilterAction.SKIP:
                return _CONTINUE
            if said.action is not FilterAction.CONTINUE:
                return said
        return _CONTINUE

    def end(self, known: Mapping[str, str], take: Callable[[Change], None], budget: Budget) -> Verdict:
        """Send the end of the message. Call `take` with each change, and return the verdict."""
        return self._guarded(END.title, lambda: self._send_end(known, take, budget))

    def _send_end(self, known: Mapping[str, str], take: Callable[[Change], None], budget: Budget) -> Verdict:
        self._refuse_unasked()
        self._waiting += self._with_macros(END, known) + packet(b"E")
        changed = count = 0
        while True:
            reply = self._answer(budget, self._timeouts.content_s)
            said = verdict(reply)
            if said is not None:
                self._check_end()
                return said
            count, changed = count + 1, changed + len(reply.data)
            if count > _MOST_CHANGES or changed > _MOST_CHANGED:
                raise BadPacket("more changes than any message needs")
            take(change(reply, self.terms.actions))

    def _check_end(self) -> None:
        if not self._reader.is_empty:
            raise BadPacket(_TOO_MANY)

    def _refuse_unasked(self) -> None:
        """Raise BadPacket if the filter has sent more answers than it was asked for: the next one would be taken for
        the answer to another command. It is looked at where a message begins, and before its verdict.
        """
        self._reader.feed(self._connection.receive_waiting())
        self._check_end()

    def _with_macros(self, stage: Stage, known: Mapping[str, str]) -> bytes:
        return packets.macros(stage.command, stage.values(known, self.terms.symbols))

    def _ask(self, data: bytes, budget: Budget, *, answered: bool) -> Verdict:
        self._waiting += data
        if not answered:
            if len(self._waiting) > packets.BODY_CHUNK:
                self._flush(budget.deadline(self._timeouts.command_s))
            return _CONTINUE
        reply = self._answer(budget, self._timeouts.command_s)
        said = verdict(reply)
        if said is None:
            raise misplaced(reply)
        self._check_end()
        return said

    def _answer(self, budget: Budget, within_s: float) -> Packet:
        """Send all that waits, and return the answer. Each sign of progress gives the filter its time again, but not
        more than the budget."""
        self._flush(budget.deadline(within_s))
        while True:
            deadline = budget.deadline(within_s)
            found = self._reader.next()
            while found is None:
                self._reader.feed(self._connection.receive(deadline))
                found = self._reader.next()
            if found.command != b"p":
                return found

    def _flush(self, deadline: float) -> None:
        waiting = bytes(self._waiting)
        self._waiting.clear()
        if waiting:
            self._connection.send(waiting, deadline)

    def abort(self) -> None:
        """End the message, and keep the connection. The filter does not answer."""
        self._waiting += packet(b"A")

    def quit(self) -> None:
        """End the connection, politely if it can be sent at once."""
        self._waiting += packet(b"Q")
        with contextlib.suppress(NeighbourFailure):
            self._flush(time.monotonic() + 1.0)
        self.close()

    def close(self) -> None:
        self._connection.close()

    def _guarded(self, step: str, talk: Callable[[], T]) -> T:
        try:
            return talk()
        except NeighbourFailure as problem:
            raise self._failure(f"{problem} (at {step})") from None
        except BadPacket as problem:
            reason = f"{self._neighbour.address} sent {problem} (at {step})"
            raise self._failure(reason, is_violation=True) from None

    def _failure(self, reason: str, *, is_violation: bool = False) -> MilterFailure:
        self._neighbour.failed(reason, 0.0)  # no rest: it may be slow with one message alone
        return MilterFailure(reason, is_violation=is_violation)


def _chunks(pieces: Iterator[bytes]) -> Iterator[bytes]:
    held = bytearray()
    for piece in pieces:
        held += piece.replace(b"\n", b"\r\n")
        while len(held) >= packets.BODY_CHUNK:
            yield bytes(held[: packets.BODY_CHUNK])
            del held[: packets.BODY_CHUNK]
    if held:
        yield bytes(held)


_FLAGS = {
    b"C": (StepFlag.NO_CONNECT, StepFlag.UNANSWERED_CONNECT),
    b"H": (StepFlag.NO_HELO, StepFlag.UNANSWERED_HELO),
    b"M": (StepFlag.NO_MAIL, StepFlag.UNANSWERED_MAIL),
    b"R": (StepFlag.NO_RCPT, StepFlag.UNANSWERED_RCPT),
    b"T": (StepFlag.NO_DATA, StepFlag.UNANSWERED_DATA),
    b"N": (StepFlag.NO_END_OF_HEADER, StepFlag.UNANSWERED_END_OF_HEADER),
}

"""`sendmail` as it is meant most of the time: the message on standard input goes to the server, or into maildrop/."""

import os
import pwd
import re
from collections.abc import Callable, Iterator
from itertools import islice
from typing import NamedTuple

from smtpd_classic.submission import maildrop
from smtpd_classic.submission.addresses import BadAddresses, addresses
from smtpd_classic.submission.conversation import ChannelBroken, Conversation, ServerAnswer, SubmissionResult
from smtpd_classic.submission.flags import Flags
from smtpd_classic.submission.header import recipients_in, without_bcc
from smtpd_classic.submission.local_socket import LocalSocket
from smtpd_classic.submission.message import HeaderTooLong, SubmittedMessage, split
from smtpd_classic.submission.places import Places
from smtpd_classic.submission.source import read_message

__all__ = ["SubmissionFailed", "send"]

_ATOMS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]+")
_LONGEST_NAME = 200
_MOST_COMPLAINTS = 100
_DISK_FULL = "4.3.1"
# By the beginning of the enhanced status code (RFC 3463), the longest first.
_STATUSES = (
    ("5.1.7", os.EX_DATAERR),
    ("5.1.", os.EX_NOUSER),
    ("5.2.", os.EX_UNAVAILABLE),
    ("5.3.4", os.EX_DATAERR),
    ("5.5.", os.EX_DATAERR),
    ("5.6.", os.EX_DATAERR),
    ("5.7.", os.EX_NOPERM),
)


class SubmissionFailed(Exception):
    """The end of it: a status of sysexits(3) and a sentence for each line."""

    def __init__(self, status: int, *sentences: str) -> None:
        super().__init__("\n".join(sentences))
        self.status = status
        self.sentences = sentences


def send(flags: Flags, places: Places, tell: Callable[[str], None] | None) -> None:
    """Submit the message on standard input. Raises SubmissionFailed."""
    message = _message_of(flags)
    result = _hand_over(message, places.socket, tell)
    if result.left:
        _leave(message, result.left, maildrop.folder_in(places.spool), tell)
    if result.refused:
        first = next(iter(result.refused.values()))
        raise SubmissionFailed(_status(first), *_complaints(result.refused, len(message.recipients)))


def _complaints(refused: dict[str, ServerAnswer], recipients: int) -> list[str]:
    lines = [f"<{recipient}>: {answer}" for recipient, answer in islice(refused.items(), _MOST_COMPLAINTS)]
    if len(refused) > _MOST_COMPLAINTS:
        lines.append(f"… and {len(refused) - _MOST_COMPLAINTS} more.")
    if len(refused) < recipients:
        lines.append("The other recipients get the message.")
    return lines


# The message ------------------------------------------------------------------------------------------------------


class _Login(NamedTuple):
    name: str
    full_name: str


def _message_of(flags: Flags) -> SubmittedMessage:
    recipients = _named(flags)
    sender = _sender(flags)
    try:
        source = read_message(0, dot_ends=flags.dot_ends)
    except OSError as problem:
        raise SubmissionFailed(os.EX_IOERR, f"The message cannot be read: {problem.strerror}.") from None
    try:
        header, text = split(source)
        if flags.recipients_in_header:
            recipients |= dict.fromkeys(recipients_in(header))
    except (HeaderTooLong, BadAddresses) as problem:
        raise SubmissionFailed(os.EX_DATAERR, f"The header cannot be read: {problem}.") from None
    if not recipients:
        if flags.recipients_in_header:
            raise SubmissionFailed(os.EX_DATAERR, "The header names no recipient in To, Cc or Bcc.")
        raise SubmissionFailed(os.EX_USAGE, "Name a recipient, or use -t to take those in the header.")
    return SubmittedMessage(
        sender,
        tuple(recipients),
        without_bcc(header),
        source,
        text,
        source.eight_bit,
        name=_full_name(flags),
        notify=flags.notify,
        ret=flags.ret,
        envid=flags.envid,
    )


def _named(flags: Flags) -> dict[str, None]:
    """Return the recipients on the command line. Raises SubmissionFailed."""
    found: dict[str, None] = {}
    for word in flags.words:
        if word.startswith("-"):
            raise SubmissionFailed(os.EX_USAGE, f"{word} stands behind a recipient; flags come first.")
        try:
            found |= dict.fromkeys(addresses(word))
        except BadAddresses as problem:
            raise SubmissionFailed(os.EX_DATAERR, f"A recipient cannot be read: {problem}.") from None
    return found


def _sender(flags: Flags) -> str:
    if flags.sender is None:
        return _local_part(_login().name)
    if flags.sender.strip() in {"", "<>"}:
        return ""
    try:
        found = addresses(flags.sender)
    except BadAddresses as problem:
        raise SubmissionFailed(os.EX_DATAERR, f"The sender cannot be read: {problem}.") from None
    if len(found) != 1:
        raise SubmissionFailed(os.EX_DATAERR, "The sender is not one address.")
    return found[0]


def _login() -> _Login:
    try:
        found = pwd.getpwuid(os.getuid())
    except KeyError:
        raise SubmissionFailed(os.EX_OSERR, f"User {os.getuid()} has no name; say with -f who sends.") from None
    # passwd(5), as finger(1) reads it: the name before the first comma, “&” for the login name.
    full_name = found.pw_gecos.partition(",")[0].replace("&", found.pw_name.capitalize())
    return _Login(found.pw_name, full_name)


def _full_name(flags: Flags) -> str:
    name = flags.name or os.environ.get("NAME", "")
    if not name:
        try:
            name = _login().full_name
        except SubmissionFailed:
            name = ""
    return " ".join("".join(char if char.isprintable() else " " for char in name).split())[:_LONGEST_NAME]


def _local_part(name: str) -> str:
    """Return a login name as a local part: names of a directory may hold backslashes and blanks."""
    if _ATOMS.fullmatch(name) and all(name.split(".")):
        return name
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'


# Where it goes -----------------------------------------------------------------------------------------------------


def _hand_over(message: SubmittedMessage, path: str, tell: Callable[[str], None] | None) -> SubmissionResult:
    try:
        channel = LocalSocket(path)
    except OSError as problem:
        result = SubmissionResult()
        answer = ServerAnswer(421, "4.3.2", f"The server does not answer at {path}: {problem.strerror or problem}")
        result.left = dict.fromkeys(message.recipients, answer)
        return result
    try:
        conversation = Conversation(channel, tell)
        try:
            conversation.open()
        except (ChannelBroken, OSError) as problem:
            result = SubmissionResult()
            result.left = dict.fromkeys(message.recipients, ServerAnswer(421, "4.3.2", str(problem)))
            return result
        result = conversation.submit(message)
        conversation.close()
        return result
    finally:
        channel.close()


def _groups(recipients: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    most = maildrop.MOST_RECIPIENTS
    for start in range(0, len(recipients), most):
        yield recipients[start : start + most]


def _leave(
    message: SubmittedMessage, left: dict[str, ServerAnswer], folder: str, tell: Callable[[str], None] | None
) -> None:
    """Leave the message in maildrop/, from where the server fetches it, in several files for very many recipients.

    Not when the disk of the server is full: that would make it fuller.
    """
    full = next((answer for answer in left.values() if answer.enhanced == _DISK_FULL), None)
    why = full or next(iter(left.values()))
    if full is None:
        try:
            names = [maildrop.leave(folder, message._replace(recipients=some)) for some in _groups(tuple(left))]
        except OSError as problem:
            said = f"{folder}: {problem.strerror}"
        else:
            if tell:
                tell(f"{why}; the message waits as {', '.join(names)} in {folder}")
            return
        raise SubmissionFailed(
            os.EX_TEMPFAIL, f"The message was not taken: {why}; nor can it wait for the server: {said}."
        )
    raise SubmissionFailed(os.EX_TEMPFAIL, f"The message was not taken: {why}")


def _status(answer: ServerAnswer) -> int:
    return next((status for begin, status in _STATUSES if answer.enhanced.startswith(begin)), os.EX_UNAVAILABLE)

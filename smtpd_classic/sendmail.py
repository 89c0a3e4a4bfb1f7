"""`sendmail`, `mailq` and `newaliases`: how programs of this machine hand in mail (sendmail(1)).

The exit status is one of sysexits(3). Zero means that the message is the server's now, or waits in maildrop/ for it.
"""

import os
import sys
from collections.abc import Sequence
from contextlib import suppress

from smtpd_classic.submission.flags import BadFlags, Flags, parse
from smtpd_classic.submission.local_socket import LocalSocket, relay
from smtpd_classic.submission.places import NotReadable, Places, places
from smtpd_classic.submission.sending import SubmissionFailed, send

__all__ = ["main"]

_MODES = {"mailq": "p", "newaliases": "i"}


def main(words: Sequence[str] | None = None) -> int:
    """`words` begin with the name by which the program was called."""
    called, *given = sys.argv if words is None else words
    name = os.path.basename(called)
    try:
        flags = parse(given, mode=_MODES.get(name, "m"))
        return _run(flags, places(flags.config))
    except BadFlags as problem:
        return _say(name, os.EX_USAGE, f"{problem}; see sendmail(1).")
    except NotReadable as problem:
        denied = isinstance(problem.problem, PermissionError)
        return _say(name, os.EX_NOPERM if denied else os.EX_CONFIG, f"{problem}.")
    except SubmissionFailed as problem:
        return _say(name, problem.status, *problem.sentences)
    except KeyboardInterrupt:
        return 130
    except OSError as problem:
        return _say(name, os.EX_OSERR, f"{problem.filename or 'the system said'}: {problem.strerror or problem}.")
    except Exception as problem:
        return _say(name, os.EX_SOFTWARE, f"an error in the program: {type(problem).__name__}: {problem}.")


def _run(flags: Flags, where: Places) -> int:
    if flags.mode == "m":
        send(flags, where, _tell if flags.verbose else None)
        return os.EX_OK
    if flags.mode == "s":
        return _converse(where)
    from smtpd_classic.commands import sendmail_modes  # noqa: PLC0415  takes longer than to send a message

    match flags.mode:
        case "p":
            return sendmail_modes.queue(where)
        case "i":
            return sendmail_modes.aliases(where)
        case _:
            return sendmail_modes.flush(where, flags.which)


def _converse(where: Places) -> int:
    """SMTP on standard input and output."""
    try:
        channel = LocalSocket(where.socket)
    except OSError:
        os.write(1, b"421 4.3.2 The server does not run; try again later.\r\n")
        return os.EX_TEMPFAIL
    try:
        relay(channel, 0, 1)
    except OSError as problem:
        raise SubmissionFailed(os.EX_IOERR, f"The conversation broke off: {problem.strerror or problem}.") from None
    finally:
        channel.close()
    return os.EX_OK


def _tell(line: str) -> None:
    """Write without Python's buffer: a failing flush at the end would change the exit status."""
    if sys.stderr is not None:
        with suppress(OSError):
            os.write(2, f"{_printable(line)}\n".encode("utf-8", "replace"))


def _say(name: str, status: int, *sentences: str) -> int:
    for sentence in sentences:
        _tell(f"{name}: {sentence}")
    return status


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in text)

"""The failure of a command: a sentence on stderr, and an exit code of sysexits(3)."""

import errno
import os
import sys
from collections.abc import Callable

from smtpd_classic.accounts import AccountsElsewhere, AccountsUnreadable, EditRefused, NotThere
from smtpd_classic.config import ConfigProblems

__all__ = ["Refused", "guarded", "needs"]

_FILE_CODES = {FileNotFoundError: os.EX_NOINPUT, PermissionError: os.EX_NOPERM}


class Refused(Exception):
    """The command stops here with this sentence and exit code."""

    def __init__(self, sentence: str, code: int) -> None:
        super().__init__(sentence)
        self.code = code


def needs(*paths: str) -> None:
    """Raise PermissionError if this user may not read one of the paths: the command would take it for missing.

    A path that is really missing is no error, nor is a wrong mode of the user's own file.
    """
    for path in paths:
        try:
            found = os.stat(path)
        except (FileNotFoundError, NotADirectoryError):
            continue
        if found.st_uid != os.geteuid() and not os.access(path, os.R_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)


def _is_closed(path: str) -> bool:
    try:
        needs(path)
    except PermissionError:
        return True
    return False


def guarded(action: Callable[[], int]) -> int:
    """Return the result of the action, or the exit code of its failure."""
    try:
        return action()
    except ConfigProblems as problem:
        closed = any(_is_closed(each.file) for each in problem.problems)
        return _said(str(problem), os.EX_NOPERM if closed else os.EX_CONFIG)
    except Refused as refused:
        return _said(str(refused), refused.code)
    except AccountsElsewhere as refused:
        return _said(str(refused), os.EX_CONFIG)
    except AccountsUnreadable as problem:
        return _said(f"the accounts cannot be looked up: {problem}", os.EX_TEMPFAIL)
    except NotThere as refused:
        return _said(str(refused), os.EX_NOUSER)
    except EditRefused as refused:
        return _said(str(refused), os.EX_TEMPFAIL if refused.temporary else os.EX_DATAERR)
    except BrokenPipeError:  # the reader of our output has closed it
        raise
    except OSError as problem:
        ending = _FILE_CODES.get(type(problem), os.EX_IOERR)
        return _said(f"{problem.filename or 'the system said'}: {problem.strerror or problem}.", ending)


def _said(sentence: str, code: int) -> int:
    """Print the sentence with a capital letter, unless it begins with a name such as a path or a domain."""
    is_word = sentence.partition(" ")[0].isalpha()
    print(sentence[:1].upper() + sentence[1:] if is_word else sentence, file=sys.stderr)
    return code

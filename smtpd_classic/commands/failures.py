"""The failure of a command: a sentence on stderr, and an exit code of sysexits(3)."""

import os
import sys
from collections.abc import Callable

from smtpd_classic.accounts import AccountsElsewhere, AccountsUnreadable, EditRefused, NotThere
from smtpd_classic.config import ConfigProblems

__all__ = ["Refused", "guarded"]

_FILE_CODES = {FileNotFoundError: os.EX_NOINPUT, PermissionError: os.EX_NOPERM}


class Refused(Exception):
    """The command stops here with this sentence and exit code."""

    def __init__(self, sentence: str, code: int) -> None:
        super().__init__(sentence)
        self.code = code


def guarded(action: Callable[[], int]) -> int:
    """Return the result of the action, or the exit code of its failure."""
    try:
        return action()
    except ConfigProblems as problem:
        return _said(str(problem), os.EX_CONFIG)
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

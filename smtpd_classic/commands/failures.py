"""The failure of a command: a sentence on stderr, and an exit code of sysexits(3)."""

import os
import sys
from collections.abc import Callable

from smtpd_classic.accounts import AccountsElsewhere, AccountsUnreadable, EditRefused, NotThere
from smtpd_classic.config import ConfigProblems

__all__ = ["Refused", "guarded"]


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
    except PermissionError as problem:
        return _said(f"{problem.filename}: {problem.strerror}.", os.EX_NOPERM)
    except OSError as problem:
        return _said(f"{problem.filename or 'the system said'}: {problem.strerror or problem}.", os.EX_IOERR)


def _said(sentence: str, code: int) -> int:
    print(sentence[:1].upper() + sentence[1:] if not sentence.startswith("/") else sentence, file=sys.stderr)
    return code

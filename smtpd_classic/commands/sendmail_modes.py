"""`mailq`, `newaliases` and `sendmail -q`: the words that administrators and their scripts know, for what the commands
of smtpd-classic do. They need the configuration, and the spool is nobody's but the server's.
"""

import io
import os
import sys
from contextlib import redirect_stderr

from smtpd_classic import cli
from smtpd_classic.accounts import Accounts, list_aliases
from smtpd_classic.config import ConfigProblems, load
from smtpd_classic.submission import maildrop
from smtpd_classic.submission.places import Places
from smtpd_classic.submission.sending import SubmissionFailed

__all__ = ["aliases", "flush", "queue"]

_ACTIONS = {"I": "", "R": "--recipient", "S": "--sender"}


def queue(where: Places) -> int:
    """As Postfix's mailq."""
    _check_rights(where, "see the queue")
    status = cli.main(["--config", where.config, "queue", "list", "--mailq"])
    try:
        waiting = sum(map(maildrop.is_name, os.listdir(maildrop.folder_in(where.spool))))
    except OSError:
        return status
    if waiting:
        what = "1 message waits" if waiting == 1 else f"{waiting} messages wait"
        print(f"{what} in {maildrop.folder_in(where.spool)} for the server.", file=sys.stderr)
    return status


def flush(where: Places, which: str) -> int:
    """Try again now what waits: all of it, or by id, or by a part of the address of recipient or sender."""
    _check_rights(where, "flush it")
    kind, text = which[:1], which[1:]
    if kind == "I":
        words = [text]
    elif kind:
        words = [_ACTIONS[kind], f"*{text}*"]
    else:
        words = ["--all"]
    # Cron calls this, and sends its user whatever is said.
    said = io.StringIO()
    with redirect_stderr(said):
        status = cli.main(["--config", where.config, "queue", "retry", *words])
    if status:
        sys.stderr.write(said.getvalue())
    return status


def aliases(where: Places) -> int:
    """There is nothing to be made: the server reads the file itself. So it is looked at, and counted."""
    if os.path.exists(where.config) and not os.access(where.config, os.R_OK):
        raise SubmissionFailed(os.EX_NOPERM, "Only root and the service user may see the aliases.")
    try:
        config = load(where.config)
    except ConfigProblems as wrong:
        raise SubmissionFailed(os.EX_CONFIG, *map(str, wrong.problems)) from None
    path = config.server.aliases_file
    problems = [problem for problem in Accounts(config).check(config) if problem.file == path]
    for problem in problems:
        print(problem, file=sys.stderr)
    if any(problem.is_error for problem in problems):
        return os.EX_CONFIG
    number = len(list_aliases(config))
    print(f"{path}: {number} alias{'' if number == 1 else 'es'}")
    return os.EX_OK


def _check_rights(where: Places, what: str) -> None:
    """Before the commands say which file it is that cannot be read."""
    queued = os.path.join(where.spool, "new")
    for path in (where.config, queued):
        if os.path.lexists(where.config) and not os.access(path, os.R_OK) and os.path.lexists(path):
            raise SubmissionFailed(
                os.EX_NOPERM, f"The queue is the server's: only root and the service user may {what}."
            )

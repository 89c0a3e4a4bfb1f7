"""`smtpd-classic reload`: have the server read its configuration again, and show the result."""

import argparse
import os
import sys

from smtpd_classic.commands.failures import Refused, guarded, needs
from smtpd_classic.config import load
from smtpd_classic.runtime import Runtime
from smtpd_classic.runtime.control import NotRunning, reload

__all__ = ["HELP", "add_arguments", "run"]

HELP = "have the server read its configuration again"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    del parser


def run(args: argparse.Namespace) -> int:
    return guarded(lambda: _reload(args))


def _reload(args: argparse.Namespace) -> int:
    runtime = Runtime(load(args.config).server.run_folder)
    needs(runtime.status.path)
    try:
        status = reload(runtime.status)
    except NotRunning:
        raise Refused("the server is not running.", os.EX_UNAVAILABLE) from None
    except TimeoutError:
        raise Refused("the server has not answered; its log may say why.", os.EX_TEMPFAIL) from None
    for sentence in (*status.waiting_for_restart, *status.not_listening):
        print(sentence, file=sys.stderr)
    if status.error:
        raise Refused(status.error, os.EX_CONFIG)
    return os.EX_OK

"""`smtpd-classic stop`: end the server, and wait until it has."""

import argparse
import os

from smtpd_classic.commands.failures import Refused, guarded, needs
from smtpd_classic.config import load
from smtpd_classic.runtime import Runtime
from smtpd_classic.runtime.control import NotRunning, stop

__all__ = ["HELP", "add_arguments", "run"]

HELP = "stop the server"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    del parser


def run(args: argparse.Namespace) -> int:
    return guarded(lambda: _stop(args))


def _stop(args: argparse.Namespace) -> int:
    status = Runtime(load(args.config).server.run_folder).status
    needs(status.path)
    try:
        stop(status)
    except NotRunning:
        raise Refused("the server is not running.", os.EX_UNAVAILABLE) from None
    except TimeoutError:
        raise Refused("the server has not ended in half a minute.", os.EX_TEMPFAIL) from None
    return os.EX_OK

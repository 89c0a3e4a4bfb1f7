"""`smtpd-classic user suspend` and `resume`: an account that may not send, without a change of the users file."""

import argparse
import os
import sys
from collections.abc import Callable

from smtpd_classic.accounts import the_account
from smtpd_classic.commands.failures import Refused
from smtpd_classic.config import Config
from smtpd_classic.counters import CounterStore
from smtpd_classic.daemon.privileges import PrivilegeProblem, drop, service_user
from smtpd_classic.runtime import Runtime
from smtpd_classic.shared_state import SharedState
from smtpd_classic.sharing import counters_for, shared_state_for

__all__ = ["SUSPENSION_ACTIONS", "add_suspension_actions", "counters_of", "shared_state_of"]


def add_suspension_actions(actions: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    suspending = actions.add_parser("suspend", help="refuse login and mail of an account until resume; it gets mail")
    suspending.add_argument("address", metavar="ADDRESS", help="user@domain, or user in the primary domain")
    suspending.add_argument("--reason", default="by hand", metavar="TEXT", help="a reason for limits list")
    resume = actions.add_parser("resume", help="let a suspended account send again")
    resume.add_argument("address", metavar="ADDRESS", help="user@domain, or user in the primary domain")


def counters_of(config: Config) -> CounterStore:
    """Return the counters of the server. As root, become its user first, so that the server can write all files."""
    # Here and below, because it imports most of the server, which the other actions of “user” do not need.
    from smtpd_classic.counters.sender_limits import counters_folder  # noqa: PLC0415

    return counters_for(counters_folder(config), shared_state_of(config))


def shared_state_of(config: Config) -> SharedState | None:
    """Return the shared state, or None. As root, become the user of the server first."""
    try:
        drop(service_user(config.server.user))
    except PrivilegeProblem as problem:
        raise Refused(str(problem), os.EX_NOUSER) from None
    runtime = Runtime(config.server.run_folder)
    return shared_state_for(config, runtime, lambda said: print(said, file=sys.stderr), in_command=True)


def _suspend(config: Config, args: argparse.Namespace) -> int:
    from smtpd_classic.counters.sender_limits import named_group, suspend  # noqa: PLC0415

    account = the_account(config, args.address)
    suspend(counters_of(config), named_group(config, account.address), args.reason)
    return os.EX_OK


def _resume(config: Config, args: argparse.Namespace) -> int:
    from smtpd_classic.counters.sender_limits import SUSPENDED, named_group  # noqa: PLC0415

    group, counters = named_group(config, args.address), counters_of(config)
    if not counters.numbers(group, [SUSPENDED])[SUSPENDED].value:
        print(f"{args.address} is not suspended by a sending limit or by “user suspend”.", file=sys.stderr)
        return os.EX_DATAERR
    counters.forget(group, [SUSPENDED, "holds"])
    return os.EX_OK


SUSPENSION_ACTIONS: dict[str, Callable[[Config, argparse.Namespace], int]] = {"suspend": _suspend, "resume": _resume}

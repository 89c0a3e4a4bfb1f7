"""`smtpd-classic serve`: the server, in the foreground."""

import argparse
import os
import sys
from contextlib import suppress

from smtpd_classic.accounts import AccountsUnreadable, EditRefused, list_accounts
from smtpd_classic.accounts.directory import IN_DOVECOT
from smtpd_classic.config import Config, ConfigProblems, Listener
from smtpd_classic.daemon.instance import Instance
from smtpd_classic.daemon.serving import CannotStart
from smtpd_classic.daemon.serving import run as serve
from smtpd_classic.runtime import Listening
from smtpd_classic.runtime.status import places

__all__ = ["HELP", "add_arguments", "run"]

HELP = "run the server, in the foreground"

_ANY = {"0.0.0.0": "127.0.0.1", "::": "::1"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--hints", action="store_true", help="say how to send a test message and where mail is (as on a terminal)"
    )


def run(args: argparse.Namespace) -> int:
    hints = args.hints or sys.stderr.isatty()

    def announce(instance: Instance, warnings: tuple[str, ...]) -> None:
        _announce(instance, warnings, hints=hints)

    try:
        status = serve(os.path.abspath(args.config), announce)
    except CannotStart as problem:
        print(problem, file=sys.stderr)
        return problem.status
    if status:
        print("The processes of the server could not start; its log says why.", file=sys.stderr)
    return status


def _announce(instance: Instance, warnings: tuple[str, ...], *, hints: bool) -> None:
    config, status = instance.setting.config, instance.status
    said = [f"smtpd-classic {status.version} for {config.server.primary_domain}: {places(status.listening)}"]
    said += [f"warning: {sentence}" for sentence in warnings]
    if hints:
        said += ["", *_hints(config, status.listening)]
    # One write, whose failure does not matter: the terminal may be closed.
    with suppress(OSError):
        sys.stderr.write("\n".join(said) + "\n")
        sys.stderr.flush()


def _hints(config: Config, listening: tuple[Listening, ...]) -> list[str]:
    try:
        account = next((each for each in list_accounts(config) if each.status == "normal"), None)
    except (OSError, ConfigProblems, AccountsUnreadable, EditRefused):
        account = None
    if account is None and config.server.accounts == IN_DOVECOT:
        return []
    if account is None:
        return [f"There is no account yet:   smtpd-classic --config {config.path} user add NAME --generate"]
    place = f"{account.folder}/new" if account.folder else account.mail_place
    said = [f"Mail for {account.address} will be in {place}"]
    smtp = [each for each in listening if not _listener_of(config, each).is_lmtp]
    open_to_all = next((each for each in smtp if _listener_of(config, each).auth != "required"), None)
    if open_to_all is not None:
        stranger = "me@elsewhere.example"
        said += ["", "Send a message:", *_example(stranger, account.address, f"smtp://{_place(open_to_all)}", "")]
    with_login = next((each for each in smtp if _listener_of(config, each).auth == "required"), None)
    if with_login is not None:
        url = f"{'smtps' if with_login.tls == 'implicit' else 'smtp'}://{_place(with_login)}"
        login = f" -k --ssl-reqd -u {account.address}"
        said += [
            "",
            "Send one as a user (it asks for the password):",
            *_example(account.address, account.address, url, login),
        ]
    return [*said, "", "End it with Ctrl-C."]


def _example(sender: str, recipient: str, url: str, login: str) -> tuple[str, str]:
    return (
        f"  printf 'From: {sender}\\nSubject: Hello\\n\\nHello.\\n' | curl -sS{login} \\",
        f"    --mail-from {sender} --mail-rcpt {recipient} -T - {url}",
    )


def _listener_of(config: Config, place: Listening) -> Listener:
    return next(each for each in config.listeners if each.name == place.name)


def _place(place: Listening) -> str:
    address = _ANY.get(place.address, place.address)
    return f"[{address}]:{place.port}" if ":" in address else f"{address}:{place.port}"

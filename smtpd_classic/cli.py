"""The command `smtpd-classic`: one module in `commands` for each sub-command, imported when that sub-command runs.

Data goes to stdout, sentences for people to stderr, and the exit status is one of sysexits(3). A traceback appears only
with --debug.
"""

import argparse
import io
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from smtpd_classic import __version__

__all__ = ["COMMANDS", "DEFAULT_CONFIG", "main", "whole_parser"]

DEFAULT_CONFIG = "/etc/smtpd-classic/smtpd-classic.conf"

# In the order of the help. Each has a module of its name: HELP, add_arguments(parser), run(args) -> exit status.
COMMANDS = (
    *("serve", "init", "check", "status", "reload", "stop", "log"),
    *("config", "domain", "user", "alias", "queue", "limits", "filter", "block"),
    *("explain", "dkim", "dns", "dmarc", "doctor"),
    *("backup", "restore", "import"),
    "test",
)

_MODULES = {"import": "importing"}  # a keyword of Python is no name of a module


def main(words: Sequence[str] | None = None) -> int:
    given = list(sys.argv[1:] if words is None else words)
    if isinstance(sys.stdout, io.TextIOWrapper):  # addresses outside ASCII, on a terminal without UTF-8
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        args = _parser(given).parse_args(given)
    except SystemExit as end:  # argparse has printed the error; its exit status differs from ours
        return os.EX_USAGE if end.code else os.EX_OK
    if not args.command:
        _parser([]).print_help(sys.stderr)
        return os.EX_USAGE
    return _run(args)


def _run(args: argparse.Namespace) -> int:
    try:
        status = int(_module(args.command).run(args))
        sys.stdout.flush()
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader of our output has closed it early. The interpreter must not report that when it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return os.EX_OK
    except Exception as problem:
        if args.debug:
            raise
        print(f"smtpd-classic {args.command}: {_sentence(problem)}", file=sys.stderr)
        return os.EX_OSERR if isinstance(problem, OSError) else os.EX_SOFTWARE
    return status


def _sentence(problem: Exception) -> str:
    if isinstance(problem, OSError) and problem.strerror:
        return f"{problem.filename}: {problem.strerror}" if problem.filename else problem.strerror
    return f"{type(problem).__name__}: {problem} (--debug shows where)"


def whole_parser() -> argparse.ArgumentParser:
    """Return the parser of every command, for the shell completion."""
    return _parser([])


def _parser(given: Sequence[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="smtpd-classic", description="A mail server; see smtpd-classic(8).")
    parser.add_argument("--version", action="version", version=f"smtpd-classic {__version__}")
    parser.add_argument(
        "--config",
        metavar="FILE",
        default=os.environ.get("SMTPD_CLASSIC_CONFIG") or DEFAULT_CONFIG,
        help="the configuration file (%(default)s, or the one that SMTPD_CLASSIC_CONFIG names)",
    )
    parser.add_argument("--debug", action="store_true", help="show where in the program something went wrong")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    word = _command_in(given)
    for name in (word,) if word in COMMANDS else COMMANDS:
        module = _module(name)
        purpose = module.HELP
        command = commands.add_parser(name, help=purpose, description=purpose[:1].upper() + purpose[1:] + ".")
        module.add_arguments(command)
    return parser


def _command_in(given: Sequence[str]) -> str:
    """Return the command among the words: only its module is imported, for some modules are slow to import."""
    before = ""
    for word in given:
        if not word.startswith("-") and before != "--config":
            return word
        before = word
    return ""


def _module(name: str) -> Any:
    return import_module(f"smtpd_classic.commands.{_MODULES.get(name, name)}")

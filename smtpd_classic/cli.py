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
    _open_closed_streams()
    if isinstance(sys.stdout, io.TextIOWrapper):  # addresses outside ASCII, on a terminal without UTF-8
        sys.stdout.reconfigure(errors="backslashreplace")
    debug = False
    try:
        args = _parsed(given)
        if isinstance(args, argparse.Namespace):
            debug = args.debug
            status = int(_module(args.command).run(args))
        else:
            status = args
        sys.stdout.flush()
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader of our output has closed it early
        _drop_output()
        return os.EX_OK
    except Exception as problem:
        if debug:
            raise
        _drop_output()
        print(f"{_program(given)}: {_sentence(problem)}", file=sys.stderr)
        return os.EX_IOERR if isinstance(problem, OSError) else os.EX_SOFTWARE
    return status


def _open_closed_streams() -> None:
    """Open /dev/null for each standard stream that the caller has closed, so that no other file gets its number."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    sys.stdin = sys.stdin or open(0, closefd=False)
    sys.stdout = sys.stdout or open(1, "w", closefd=False)
    sys.stderr = sys.stderr or open(2, "w", closefd=False)


def _drop_output() -> None:
    """Send to /dev/null the rest of the output: the interpreter must not report at its exit that it has no place."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _parsed(given: Sequence[str]) -> argparse.Namespace | int:
    """Return the arguments, or the exit status if argparse has printed the help or an error."""
    try:
        args = _parser(given).parse_args(given)
    except SystemExit as end:  # its exit status differs from ours
        return os.EX_USAGE if end.code else os.EX_OK
    if not args.command:
        _parser([]).print_help(sys.stderr)
        return os.EX_USAGE
    return args


def _program(given: Sequence[str]) -> str:
    command = next((each for each in given if each in COMMANDS), "")
    return f"smtpd-classic {command}".rstrip()


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

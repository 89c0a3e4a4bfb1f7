"""`smtpd-classic block`: clients that are refused for a while, by hand or because of their failures."""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from datetime import timedelta

from smtpd_classic.commands.failures import Refused, guarded, needs
from smtpd_classic.commands.suspension import shared_state_of
from smtpd_classic.config import Config, load
from smtpd_classic.config.kinds import DURATION
from smtpd_classic.runtime import Runtime, client_key
from smtpd_classic.runtime.shared_blocks import SharedBlocks
from smtpd_classic.shared_state import SharedStateDown

__all__ = ["HELP", "add_arguments", "run"]

HELP = "clients that are refused for a while"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="every client that is blocked, until when and why")
    listing.add_argument("--json", action="store_true", help="print JSON")
    add = actions.add_parser("add", help="block a client; of IPv6 its /64")
    add.add_argument("ip", type=_ip, metavar="IP")
    add.add_argument("--for", dest="duration", type=_duration, metavar="TIME", help="as in 30m or 7d (block_time)")
    add.add_argument("--reason", default="by hand", metavar="TEXT", help="a reason for the list")
    remove = actions.add_parser("remove", help="let a client in again")
    remove.add_argument("ip", type=_ip, metavar="IP")


def _ip(text: str) -> str:
    try:
        client_key(text)
    except ValueError as problem:
        raise argparse.ArgumentTypeError(str(problem)) from None
    return text


def _duration(text: str) -> timedelta:
    try:
        return DURATION.parse(text)
    except ValueError as problem:
        raise argparse.ArgumentTypeError(str(problem)) from None


def run(args: argparse.Namespace) -> int:
    return guarded(lambda: _ACTIONS[args.action](args))


def _exchange(config: Config) -> None:
    """Bring the blocks together with those of the other servers, if the configuration names a shared state."""
    if not config.server.shared_state:
        return
    shared = shared_state_of(config)
    if shared is not None:
        try:
            SharedBlocks(Runtime(config.server.run_folder).blocks, shared).once()
        except (SharedStateDown, OSError) as problem:
            print(f"These are the blocks of this server alone: {problem}", file=sys.stderr)
        finally:
            shared.close()


def _list(args: argparse.Namespace) -> int:
    config = load(args.config)
    _exchange(config)
    blocks = Runtime(config.server.run_folder).blocks
    needs(blocks.folder)
    found = blocks.list()
    if args.json:
        print(json.dumps([block._asdict() for block in found], indent=2))
        return os.EX_OK
    for block in found:
        until = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(block.until))
        ip = f"{block.ip}/64" if block.ip.endswith("::") else block.ip
        print(f"{ip:40}until {until}  {block.reason}".rstrip())
    return os.EX_OK


def _add(args: argparse.Namespace) -> int:
    config = load(args.config)
    seconds = (args.duration or config.access.block_time).total_seconds()
    try:
        Runtime(config.server.run_folder).blocks.block(args.ip, seconds, args.reason)
    except FileNotFoundError:
        raise Refused("there is no run folder to note it in: the server has not run yet.", os.EX_UNAVAILABLE) from None
    _exchange(config)
    return os.EX_OK


def _remove(args: argparse.Namespace) -> int:
    config = load(args.config)
    blocks = Runtime(config.server.run_folder).blocks
    if not blocks.unblock(args.ip):
        print(f"{args.ip} is not blocked.", file=sys.stderr)
        return os.EX_DATAERR
    _exchange(config)
    return os.EX_OK


_ACTIONS: dict[str, Callable[[argparse.Namespace], int]] = {"list": _list, "add": _add, "remove": _remove}

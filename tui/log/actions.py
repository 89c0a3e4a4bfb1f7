"""Actions on a line of the log: block or trust an address in it, or show only the lines that belong together."""

import ipaddress
import os
import re
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import partial

import urwid

from smtpd_classic.config.kinds import split_items
from tui.log.story import explain_message, question_in, show_story
from tui.log.window import parsed
from tui.shell.context import AppContext
from tui.widgets.buttons import Word
from tui.widgets.dialog import Dialog, ask
from tui.widgets.flow import Flow
from tui.widgets.text import clean, span

__all__ = ["actions_for", "addresses_in", "block", "trust"]

_IP = re.compile(r"\[([0-9A-Fa-f:.]{3,45})\]|\b(\d{1,3}(?:\.\d{1,3}){3})\b")
_QUEUE_ID = re.compile(r"\b([0-9A-F]{20})\b")
_ADDRESS = re.compile(r"<([^<>\s@]{1,64}@[^<>\s]{1,255})>|sasl_username=([^\s,]{1,255})")


def addresses_in(text: str) -> Iterator[str]:
    """Yield the IP addresses of clients and hosts in a line."""
    for found in _IP.finditer(text):
        try:
            yield str(ipaddress.ip_address(found[1] or found[2]))
        except ValueError:
            continue


def block(context: AppContext, ip: str) -> None:
    """Ask, then block the address for the time that is set in Access Control."""
    config = context.usable_config()
    if config is None:
        return
    if why := _never_blocked(ip, os.environ):
        context.shell.say(f"{ip} is not blocked: {why}.", "bad")
        return
    seconds = config.access.block_time.total_seconds()
    runtime = context.runtime

    def work() -> None:
        os.makedirs(runtime.blocks.folder, mode=0o755, exist_ok=True)  # missing if the server has never run
        runtime.blocks.block(ip, seconds, "by hand")

    def done(_: None) -> None:
        context.shell.say(f"{ip} is blocked for {span(seconds)}. Access Control shows it and can end it.", "good")

    def confirmed() -> None:
        context.shell.close()
        context.run(work, done)

    text = f"The server will refuse all connections from {ip} for {span(seconds)}."
    answers = [("No", context.shell.close), (f"Block {ip}", confirmed)]
    context.shell.open(ask("Block this address?", text, answers, context.shell.close))


def _never_blocked(ip: str, environ: Mapping[str, str]) -> str:
    """Return the reason why a block of this address would lock out its own administrator, or a blank."""
    address = ipaddress.ip_address(ip)
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    if address.is_loopback or address.is_unspecified:
        return "it is this machine"
    if str(address) in (environ.get("SSH_CONNECTION", "").split() or [""])[0::2]:
        return "you are connected from it, or it is this machine"
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
    with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.bind((str(address), 0))  # succeeds only for an address of this machine
        return "it is an address of this machine"
    return ""


def trust(context: AppContext, ip: str) -> None:
    """Add the address to Trusted Hosts in the draft; Apply makes it effective."""
    row = context.draft.single("trusted")
    option = row.section.option("hosts")
    hosts = split_items(row.text(option))
    if ip not in hosts:
        row.set(option, ", ".join([*hosts, ip]))
    context.shell.go("Trusted Hosts")
    context.shell.say(f"{ip} is in the list. It is trusted when you apply.", "warn")


def actions_for(context: AppContext, line: str, show_only: Callable[[str], None]) -> Dialog:
    """Return the dialog with the actions for a line; `show_only` sets the filter of the log."""
    text = parsed(line).text
    rows: list[Flow] = [urwid.Text(text, wrap="any"), urwid.Divider()]

    def add(label: str, action: Callable[[], None]) -> None:
        def chosen() -> None:
            context.shell.close()
            action()

        rows.append(urwid.AttrMap(Word(f" {label}", chosen), "button", "button focus"))

    for ip in dict.fromkeys(addresses_in(line)):
        add(f"Block {ip}", partial(block, context, ip))
        add(f"Trust {ip}", partial(trust, context, ip))
        add(f"Show only {ip}", partial(show_only, ip))
    ids = list(dict.fromkeys(_QUEUE_ID.findall(line)))
    for queue_id in ids:
        add(f"The whole story of message {queue_id}", partial(show_story, context, queue_id))
        add(f"Explain message {queue_id}", partial(explain_message, context, queue_id))
        add(f"Show only message {queue_id}", partial(show_only, queue_id))
    asked = question_in([line])
    if not ids and "ip" in asked:
        add("Explain this decision", lambda: context.shell.go("Explain", values=asked))
    for shown in _mail_addresses(line):
        add(f"Show only {shown}", partial(show_only, shown))
    for word in (*ids, *dict.fromkeys(addresses_in(line)), *_mail_addresses(line)):
        add(f"Copy {word}", partial(context.shell.copy, word))
    add("Copy the line", partial(context.shell.copy, clean(line, 4000)))
    add("Show all lines", lambda: show_only(""))
    return Dialog("This line", rows, [("Close", context.shell.close)], context.shell.close, width=76)


def _mail_addresses(line: str) -> list[str]:
    """Return the mail addresses and login names in a line, cleaned."""
    return list(dict.fromkeys(clean(found[1] or found[2], 100) for found in _ADDRESS.finditer(line)))

"""The changes of an Apply in words: grouped by screen, each list item and value by its label, and their effects."""

import ipaddress
from collections.abc import Iterator, Sequence
from typing import Any

import urwid

from smtpd_classic.config import Config
from smtpd_classic.config.changes import Change
from smtpd_classic.config.kinds import DOMAIN_PATTERNS, NETWORKS, Kind, split_items
from smtpd_classic.config.option import Option, Section
from smtpd_classic.config.schema import SECTIONS
from tui.config.draft import shown_text
from tui.widgets.flow import Flow
from tui.widgets.text import clean

__all__ = ["change_rows", "effects"]

Line = tuple[str, str]  # the look and the text
_MOST_ITEMS = 12


def change_rows(
    changes: Sequence[Change], before: Config | None, after: Config | None, waiting: Sequence[str]
) -> list[Flow]:
    """Return the rows of the question before Apply."""
    rows: list[Flow] = []
    heading = ""
    for change in changes:
        section = _section(change)
        if section.tab != heading:
            heading = section.tab
            rows.append(urwid.Text(("help label", heading)))
        rows += [urwid.Text((look, f"  {clean(text, 400)}")) for look, text in _lines(section, change)]
    found = list(effects(before, after)) if before is not None and after is not None else []
    if found:
        rows += [urwid.Divider(), *(urwid.Text((look, clean(text, 300))) for look, text in found)]
    rows.append(urwid.Divider())
    if waiting:
        rows += [urwid.Text(("warn", f"! {clean(each, 300)}")) for each in waiting]
    else:
        rows.append(urwid.Text("Takes effect now; nothing waits for a restart."))
    return rows


def _section(change: Change) -> Section:
    word, _, name = change.title.partition(" ")
    wanted = bool(name) or (not change.option and change.title == word)
    found = [section for section in SECTIONS if section.word == word]
    return next((section for section in found if section.is_table == wanted), found[0])


def _lines(section: Section, change: Change) -> Iterator[Line]:
    """Yield the lines of one change: a row of a table, its order, a list or a value."""
    name = change.title.partition(" ")[2]
    if not change.option:
        if not name:
            yield "warn", f"new order: {change.new}"
        elif change.old:
            yield "removed", f"- {name}"
        else:
            yield "added", f"+ {name}"
        return
    option = section.option(change.option)
    where = f"{name}: " if name else ""
    if option.kind.many:
        yield from _items(option, change, where if name else "")
        return
    old, new = (
        shown_text(option.kind, text) if option.kind.mask is None else text for text in (change.old, change.new)
    )
    shown = f"{old or 'blank'} → {new or 'blank'}" if old or not name else new
    yield "changed", f"{where}{option.label}: {shown}"


def _items(option: Option, change: Change, where: str) -> Iterator[Line]:
    separator = ";" if ";" in option.kind.example else ","
    old, new = ([" ".join(item.split()) for item in split_items(text, separator)] for text in (change.old, change.new))
    lines = [("removed", f"- {where}{item}") for item in old if item not in new]
    lines += [("added", f"+ {where}{item}") for item in new if item not in old]
    if not lines:
        lines.append(("warn", f"{where}{option.label}, new order: {', '.join(new)}"))
    yield from lines[:_MOST_ITEMS]
    if len(lines) > _MOST_ITEMS:
        yield "dim", f"and {len(lines) - _MOST_ITEMS} more"


def effects(before: Config, after: Config) -> Iterator[Line]:
    """Yield a sentence for each port that opens or closes, and for each client that gains or loses a right."""
    old, new = _ports(before), _ports(after)
    for address, port in sorted(new - old):
        yield "warn", f"! Port {port} opens: {_reached(address)} can connect."
    for address, port in sorted(old - new):
        yield "warn", f"! Port {port} closes for {_reached(address)}: clients there cannot connect any more."
    trusted = _items_of(NETWORKS, before.trusted.hosts), _items_of(NETWORKS, after.trusted.hosts)
    yield from _gained(*trusted, "send to all addresses without a login")
    open_before = (
        *_items_of(DOMAIN_PATTERNS, before.open_relay.domains),
        *(each.name for each in before.direct_domains if each.open),
    )
    open_after = (
        *_items_of(DOMAIN_PATTERNS, after.open_relay.domains),
        *(each.name for each in after.direct_domains if each.open),
    )
    for domain in (each for each in open_after if each not in open_before):
        yield "warn", f"! Every host may send to {domain} through this server from now on."
    for domain in (each for each in open_before if each not in open_after):
        yield "help", f"Only clients with a login or with trust may send to {domain}."
    for network in set(_items_of(NETWORKS, after.access.refuse)) - set(_items_of(NETWORKS, before.access.refuse)):
        yield "warn", f"! Clients in {network} cannot connect any more."
    if after.access.allow_only != before.access.allow_only and after.access.allow_only:
        yield "warn", f"! Only clients in {', '.join(_items_of(NETWORKS, after.access.allow_only))} can connect."


def _gained(before: Sequence[str], after: Sequence[str], right: str) -> Iterator[Line]:
    for each in (each for each in after if each not in before):
        yield "warn", f"! {each} may {right}."
    for each in (each for each in before if each not in after):
        yield "help", f"{each} may no longer {right}."


def _items_of(kind: Kind[Any], values: object) -> list[str]:
    return split_items(kind.format(values))


def _ports(config: Config) -> set[tuple[str, int]]:
    return {(address, each.port) for each in config.listeners for address in each.address}


def _reached(address: str) -> str:
    ip = ipaddress.ip_address(address)
    if ip.is_unspecified:
        return f"all hosts that reach this machine over IPv{ip.version}"
    return "programs on this machine" if ip.is_loopback else f"hosts that reach {address}"

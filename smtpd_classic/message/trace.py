"""Trace headers: `Received:`, the fields of final delivery (RFC 5321 4.4), and the count of hops."""

import re
import time
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

from smtpd_classic.message.headers import HeaderBlock, whole_field
from smtpd_classic.smtp.events import TlsInfo

__all__ = [
    "Hop",
    "date_text",
    "delivered_to",
    "envelope_to",
    "hops",
    "received",
    "return_path",
    "without_delivery_fields",
]

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_FOREIGN = re.compile(r"[^A-Za-z0-9.:\[\]_-]")
_LONGEST_NAME = 255
_OF_DELIVERIES = frozenset({b"return-path", b"envelope-to", b"delivered-to"})
_OF_ANY_DELIVERY, _DELIVERED_TO = whole_field(rb"return-path|envelope-to"), whole_field(rb"delivered-to")


class Hop(NamedTuple):
    """The values of one `Received:` field.

    `hello` is the unverified argument of EHLO, `name` the verified host name. `recipient` is blank when there are
    several, since they must not learn of one another. `uid` is the user of local submission, -1 for a network client.
    """

    hello: str
    name: str
    ip: str
    protocol: str
    tls: TlsInfo | None
    by: str
    queue_id: str
    recipient: str
    uid: int = -1


def date_text(now: float) -> str:
    """Return a date of RFC 5322 3.3 in local time; `time.strftime` would write the names of the locale."""
    return _date_text(int(now))


@lru_cache(16)
def _date_text(second: int) -> str:
    t = time.localtime(second)
    sign, minutes = ("-", -t.tm_gmtoff // 60) if t.tm_gmtoff < 0 else ("+", t.tm_gmtoff // 60)
    return (
        f"{_DAYS[t.tm_wday]}, {t.tm_mday} {_MONTHS[t.tm_mon - 1]} {t.tm_year} "
        f"{t.tm_hour:02}:{t.tm_min:02}:{t.tm_sec:02} {sign}{minutes // 60:02}{minutes % 60:02}"
    )


def _harmless(name: str) -> str:
    """Return a stranger's name for itself without characters that could end the field or imitate another."""
    return _FOREIGN.sub("?", name[:_LONGEST_NAME]) or "unknown"


def received(hop: Hop, now: float) -> bytes:
    """Return the field, folded as Postfix does it, with LF line ends."""
    if hop.uid >= 0:
        lines = [f"Received: by {hop.by} (smtpd-classic, from userid {hop.uid})", f"\tid {hop.queue_id}"]
    else:
        ip = f" [IPv6:{hop.ip}]" if ":" in hop.ip else f" [{hop.ip}]" if hop.ip else ""
        lines = [f"Received: from {_harmless(hop.hello)} ({_harmless(hop.name)}{ip})"]
        if hop.tls is not None:
            lines.append(f"\t(using {hop.tls.version} with cipher {hop.tls.cipher} ({hop.tls.bits} bits))")
        lines.append(f"\tby {hop.by} (smtpd-classic) with {hop.protocol} id {hop.queue_id}")
    if hop.recipient:
        lines.append(f"\tfor <{hop.recipient}>; {date_text(now)}\n")
    else:
        lines[-1] += f"; {date_text(now)}\n"
    return "\n".join(lines).encode("utf-8", "replace")


def return_path(sender: str) -> bytes:
    return f"Return-Path: <{sender}>\n".encode("utf-8", "replace")


def envelope_to(recipient: str) -> bytes:
    return f"Envelope-To: {recipient}\n".encode("utf-8", "replace")


def delivered_to(recipient: str) -> bytes:
    """Return the field for copies that leave through an alias, which detects a loop (see max_hops)."""
    return f"Delivered-To: {recipient}\n".encode("utf-8", "replace")


def without_delivery_fields(block: HeaderBlock, is_local_domain: Callable[[str], bool]) -> bytes:
    """Return the header block for final delivery, without the trace of other deliveries.

    Return-Path and Envelope-To are written anew, and a sweep after a crash reads the latter: one of a stranger must not
    stay. Delivered-To goes where it names an address of this server.
    """
    raw, names = block.raw, block.names
    if names.isdisjoint(_OF_DELIVERIES):
        return raw
    if b"return-path" in names or b"envelope-to" in names:
        raw = _OF_ANY_DELIVERY.sub(b"", raw)
    if b"delivered-to" in names:
        raw = _DELIVERED_TO.sub(lambda field: b"" if _is_local(field[1], is_local_domain) else field[0], raw)
    return raw


def _is_local(value: bytes, is_local_domain: Callable[[str], bool]) -> bool:
    domain = value.decode("utf-8", "replace").rpartition("@")[2].strip("<> \t\n.")
    return is_local_domain(domain.lower())


def hops(header: HeaderBlock) -> int:
    return header.count(b"received")

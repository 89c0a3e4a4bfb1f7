"""The records of an answer as plain values. The objects of the library take a kilobyte each, and long to read again."""

from collections.abc import Callable
from typing import Any

from smtpd_classic.dns.names import text
from smtpd_classic.dns.resolver import MxRecord, TlsaRecord

__all__ = ["Record", "plain_record"]

Record = bytes | str | MxRecord | TlsaRecord


def plain_record(kind: str, record: Any) -> Record:
    """Return the value of a record of dnspython: an address, a host name, the joined strings of a TXT record."""
    return _READERS[kind](record)


def _address(record: Any) -> str:
    return str(record.address)


def _exchanger(record: Any) -> MxRecord:
    return MxRecord(record.preference, text(record.exchange).rstrip("."))


def _target(record: Any) -> str:
    return text(record.target)


def _strings(record: Any) -> bytes:
    return b"".join(record.strings)


def _association(record: Any) -> TlsaRecord:
    return TlsaRecord(record.usage, record.selector, record.mtype, record.cert)


_READERS: dict[str, Callable[[Any], Record]] = {
    "A": _address,
    "AAAA": _address,
    "MX": _exchanger,
    "NS": _target,
    "PTR": _target,
    "TLSA": _association,
    "TXT": _strings,
}

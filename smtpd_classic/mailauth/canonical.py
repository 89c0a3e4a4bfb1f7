"""The fields of a header block as DKIM sees them: split, chosen, put into canonical form (RFC 6376 3.4 and 5.4.2)."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from smtpd_classic.mailauth.body_hash import RELAXED, single_blanks

__all__ = ["SignedField", "canonical_field", "choose_fields", "group_fields", "header_fields"]

_FIELD_END = re.compile(rb"\n(?![ \t])")


class SignedField(NamedTuple):
    """One field: `name` in lower case, `raw` all of it with LF line ends but without the last."""

    name: bytes
    raw: bytes

    @property
    def value(self) -> bytes:
        """The text behind the colon as it came."""
        return self.raw.partition(b":")[2]


def header_fields(block: bytes) -> list[SignedField]:
    """Return the fields of a block with LF line ends, in order. A line without a colon has a blank name."""
    text = block.removesuffix(b"\n")
    return [_field(raw) for raw in _FIELD_END.split(text)] if text else []


def _field(raw: bytes) -> SignedField:
    name, colon, _ = raw.partition(b":")
    return SignedField(name.rstrip(b" \t").lower() if colon else b"", raw)


def group_fields(fields: Iterable[SignedField]) -> dict[bytes, list[SignedField]]:
    """Return the fields by name, each group in the order of the header."""
    groups: dict[bytes, list[SignedField]] = {}
    for field in fields:
        groups.setdefault(field.name, []).append(field)
    return groups


def choose_fields(
    groups: Mapping[bytes, Sequence[SignedField]], names: Iterable[bytes], without: SignedField | None = None
) -> list[SignedField]:
    """Return the fields that a list of names stands for: for each name the next one of it from the bottom up.

    A name without a further field stands for nothing (RFC 6376 5.4.2). `without` is a field that is left out.
    """
    left: dict[bytes, int] = {}
    chosen: list[SignedField] = []
    for name in names:
        group = groups.get(name)
        if group is None:
            continue
        at = left.get(name, len(group)) - 1
        if at >= 0 and group[at] is without:
            at -= 1
        if at >= 0:
            chosen.append(group[at])
        left[name] = max(at, 0)
    return chosen


def canonical_field(field: SignedField, canonicalization: str) -> bytes:
    """Return one field in canonical form, without its line end."""
    if canonicalization != RELAXED:
        return field.raw.replace(b"\n", b"\r\n")
    value = single_blanks(field.value.replace(b"\n", b""))
    return field.name + b":" + value.strip(b" ")

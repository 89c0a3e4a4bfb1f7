"""The fields of a header block as DKIM sees them: split, chosen, put into canonical form (RFC 6376 3.4 and 5.4.2)."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from smtpd_classic.mailauth.body_hash import RELAXED

__all__ = ["SignedField", "canonical_field", "choose_fields", "header_fields"]

_TAB_IS_BLANK = bytes.maketrans(b"\t", b" ")


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
    found: list[SignedField] = []
    lines: list[bytes] = []
    for line in block.removesuffix(b"\n").split(b"\n"):
        if line[:1] in (b" ", b"\t") and lines:
            lines.append(line)
            continue
        if lines:
            found.append(_field(b"\n".join(lines)))
        lines = [line]
    if lines and lines != [b""]:
        found.append(_field(b"\n".join(lines)))
    return found


def _field(raw: bytes) -> SignedField:
    name, colon, _ = raw.partition(b":")
    return SignedField(name.rstrip(b" \t").lower() if colon else b"", raw)


def choose_fields(fields: Sequence[SignedField], names: Iterable[bytes]) -> list[SignedField]:
    """Return the fields that a list of names stands for: for each name the next one of it from the bottom up.

    A name without a further field stands for nothing (RFC 6376 5.4.2).
    """
    left: dict[bytes, list[SignedField]] = {}
    for field in fields:
        left.setdefault(field.name, []).append(field)
    return [left[name].pop() for name in names if left.get(name)]


def canonical_field(field: SignedField, canonicalization: str) -> bytes:
    """Return one field in canonical form, without its line end."""
    if canonicalization != RELAXED:
        return field.raw.replace(b"\n", b"\r\n")
    value = field.value.replace(b"\n", b"").translate(_TAB_IS_BLANK)
    while b"  " in value:
        value = value.replace(b"  ", b" ")
    return field.name + b":" + value.strip(b" ")

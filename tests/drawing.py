"""Strategies of hypothesis that cost little, because they make one choice where a list makes one for each item."""

from collections.abc import Sequence
from typing import AnyStr

from hypothesis import strategies as st

__all__ = ["joined", "numbers"]


def joined(pieces: Sequence[AnyStr], max_size: int) -> st.SearchStrategy[AnyStr]:
    """Draw up to so many pieces, joined; an octet chooses each."""
    assert 0 < len(pieces) <= 256
    nothing = pieces[0][:0]
    return st.binary(max_size=max_size).map(
        lambda octets: nothing.join([pieces[octet % len(pieces)] for octet in octets])
    )


def numbers(max_size: int) -> st.SearchStrategy[list[int]]:
    """Draw up to so many numbers of two octets, which neighbours share."""
    return st.binary(max_size=max_size).map(
        lambda octets: [256 * one + next_one for one, next_one in zip(octets, octets[1:] + octets[:1], strict=True)]
    )

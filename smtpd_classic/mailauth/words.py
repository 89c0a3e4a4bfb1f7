"""The result words of RFC 8601 2.7, shared by all methods."""

from enum import StrEnum

__all__ = ["ResultWord"]


class ResultWord(StrEnum):
    """One result; each method uses some of them."""

    NONE = "none"
    PASS = "pass"  # noqa: S105
    FAIL = "fail"
    SOFTFAIL = "softfail"
    NEUTRAL = "neutral"
    POLICY = "policy"
    TEMPERROR = "temperror"
    PERMERROR = "permerror"

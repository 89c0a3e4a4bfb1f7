"""The strength of a new password, shown below its field while it is typed."""

import math

from smtpd_classic.accounts import weakness

__all__ = ["meter"]

_LEVELS = ("■■□□ fair", "■■■□ good", "■■■■ strong")
_GOOD_BITS, _STRONG_BITS = 60, 80
_CLASSES = ((str.islower, 26), (str.isupper, 26), (str.isdigit, 10))
_SIGNS, _OTHERS = 33, 100


def meter(password: str, address: str) -> str:
    """Return a bar and a word for the strength of a password, with the reason if it is weak; blank for a blank one."""
    if not password:
        return ""
    problem = weakness(password, address or "user@domain")
    if problem:
        return f"■□□□ weak: {problem}"
    bits = _bits(password)
    return _LEVELS[(bits >= _GOOD_BITS) + (bits >= _STRONG_BITS)]


def _bits(password: str) -> float:
    """Return the bits of a password of random characters; repeated ones count half."""
    pool = sum(size for is_in, size in _CLASSES if any(is_in(char) for char in password if char.isascii()))
    pool += _SIGNS if any(char.isascii() and not char.isalnum() for char in password) else 0
    pool += _OTHERS if not password.isascii() else 0
    return (len(password) + len(set(password))) / 2 * math.log2(pool)

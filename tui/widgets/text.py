"""Text for the screen: what strangers wrote is made harmless, and sizes, times and counts read the same everywhere.

Nothing that came from outside may move the cursor, change the reading order or break a column. So control and format
characters are taken out or shown as a replacement, and every string has a bound.
"""

import time
import unicodedata

__all__ = ["ago", "clean", "clock", "count", "day_and_clock", "first_line", "size_text", "span"]

_REPLACEMENT = "\ufffd"
_MAX_COMBINING = 2  # of one base character; more of them climb into the lines above and below
_LIMIT = 2000
# Variation selectors and skin tones change the width of what stands before them; terminals do not agree by how much.
_RESHAPING = frozenset(map(chr, (*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0), *range(0x1F3FB, 0x1F400))))


def clean(text: str | bytes, limit: int = _LIMIT) -> str:
    """One line that a terminal can only print: bounded, no control, format or stray combining characters."""
    words = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    if len(words) > limit:
        words = words[: limit - 1] + "…"
    if words.isascii() and words.isprintable():
        return words
    return "".join(_printable(words))


def _printable(words: str) -> list[str]:
    kept: list[str] = []
    combining = _MAX_COMBINING  # nothing to combine with at the start
    for char in words:
        if char in _RESHAPING:
            continue
        category = unicodedata.category(char)
        if category in {"Mn", "Me", "Mc"}:
            combining += 1
            if combining > _MAX_COMBINING:
                continue
        else:
            combining = 0
        if category in {"Zl", "Zp", "Zs"} or char in "\t\n\r":
            kept.append(" ")
            combining = 0
        elif category == "Cf":
            continue  # bidirectional overrides, zero width joiners, tags
        elif category in {"Cc", "Cs", "Co", "Cn"}:
            kept.append(_REPLACEMENT)
            combining = _MAX_COMBINING
        else:
            kept.append(char)
    return kept


def first_line(text: str, limit: int = _LIMIT) -> str:
    """The first line that says something, cleaned."""
    lines = (line.strip() for line in text[: limit * 4].splitlines())
    return clean(next((line for line in lines if line), ""), limit)


def size_text(size: int) -> str:
    """`812`, `1.4K`, `25M`: five columns at most."""
    if size < 1000:
        return str(size)
    value = float(size)
    for unit in "KMGTP":
        value /= 1024
        if value < 999.5:
            return f"{value:.1f}{unit}" if value < 9.95 else f"{value:.0f}{unit}"
    return f"{value:.0f}E"


def count(number: int) -> str:
    """A number with its thousands parted, as in 100,000."""
    return f"{number:,}"


def span(seconds: float) -> str:
    """A length of time in one unit: `8s`, `4m`, `3h`, `2d`; four columns at most below thirty years."""
    whole = max(0, int(seconds))
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if whole >= length * (2 if unit == "d" else 1):
            return f"{whole // length}{unit}"
    return f"{whole}s"


def ago(at: float, now: float) -> str:
    """How long ago, `now`, or `in 4m` for what is yet to come."""
    if at <= 0:
        return "never"
    if abs(now - at) < 1:
        return "now"
    return f"{span(now - at)} ago" if at < now else f"in {span(at - now)}"


def clock(at: float) -> str:
    return time.strftime("%H:%M:%S", time.localtime(at))


def day_and_clock(at: float, now: float) -> str:
    """`14:03` today, `Mar 07 14:03` within half a year, `2026-03-07` otherwise."""
    then, today = time.localtime(at), time.localtime(now)
    if then[:3] == today[:3]:
        return time.strftime("%H:%M", then)
    if abs(now - at) < 180 * 86400:
        return time.strftime("%b %d %H:%M", then)
    return time.strftime("%Y-%m-%d", then)

"""Text for the screen: make foreign text harmless, and format sizes, times and counts the same way everywhere.

Text from outside must not move the cursor, change the reading order or break a column. So control and format characters
are removed or replaced, and every string has a maximum length.
"""

import time
import unicodedata

__all__ = ["ago", "clean", "clock", "count", "count_short", "day_and_clock", "first_line", "size_text", "span"]

_REPLACEMENT = "\ufffd"
_MAX_COMBINING = 2  # per base character; more would reach into the lines above and below
_LIMIT = 2000
# Variation selectors and skin tones change the width of the character before them; terminals disagree by how much.
_RESHAPING = frozenset(map(chr, (*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0), *range(0x1F3FB, 0x1F400))))


def clean(text: str | bytes, limit: int = _LIMIT) -> str:
    """Return the text as one safe line: bounded, without control, format or stray combining characters."""
    words = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    if len(words) > limit:
        words = words[: limit - 1] + "…"
    if words.isascii() and words.isprintable():
        return words
    return "".join(_printable(words))


def _printable(words: str) -> list[str]:
    kept: list[str] = []
    combining = _MAX_COMBINING  # the first character has no base to combine with
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
            continue  # remove bidirectional overrides, zero width joiners and tags
        elif category in {"Cc", "Cs", "Co", "Cn"}:
            kept.append(_REPLACEMENT)
            combining = _MAX_COMBINING
        else:
            kept.append(char)
    return kept


def first_line(text: str, limit: int = _LIMIT) -> str:
    """Return the first line that is not blank, cleaned."""
    lines = (line.strip() for line in text[: limit * 4].splitlines())
    return clean(next((line for line in lines if line), ""), limit)


def size_text(size: int) -> str:
    """Return a size such as `812`, `1.4K` or `25M`, in five columns at most."""
    if size < 1000:
        return str(size)
    value = float(size)
    for unit in "KMGTP":
        value /= 1024
        if value < 999.5:
            return f"{value:.1f}{unit}" if value < 9.95 else f"{value:.0f}{unit}"
    return f"{value:.0f}E"


def count(number: int) -> str:
    """Return the number with a comma between thousands, as in 100,000."""
    return f"{number:,}"


def count_short(number: int) -> str:
    """Return the number in four columns at most: 812, 12k, 3M."""
    return str(number) if number < 10_000 else f"{number // 1000}k" if number < 1_000_000 else f"{number // 1_000_000}M"


def span(seconds: float) -> str:
    """Return a duration in one unit: `8s`, `4m`, `3h`, `2d`; below thirty years it takes four columns at most."""
    whole = max(0, int(seconds))
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if whole >= length * (2 if unit == "d" else 1):
            return f"{whole // length}{unit}"
    return f"{whole}s"


def ago(at: float, now: float) -> str:
    """Return the distance from now: `4m ago`, `now`, `in 4m`, or `never` for 0."""
    if at <= 0:
        return "never"
    if abs(now - at) < 1:
        return "now"
    return f"{span(now - at)} ago" if at < now else f"in {span(at - now)}"


def clock(at: float) -> str:
    return time.strftime("%H:%M:%S", time.localtime(at))


def day_and_clock(at: float, now: float) -> str:
    """Return `14:03` for today, `Mar 07 14:03` within half a year, `2026-03-07` otherwise."""
    then, today = time.localtime(at), time.localtime(now)
    if then[:3] == today[:3]:
        return time.strftime("%H:%M", then)
    if abs(now - at) < 180 * 86400:
        return time.strftime("%b %d %H:%M", then)
    return time.strftime("%Y-%m-%d", then)

"""Lists of `tag=value; tag=value`, the form of DKIM-Signature fields and of DKIM and DMARC records (RFC 6376 3.2)."""

import base64
import binascii
import re

__all__ = ["BadTagList", "decoded_base64", "parse_tags", "without_white_space"]

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
_WHITE = " \t\r\n"
_MOST_TAGS = 100
_USUAL = frozenset(["a", "b", "bh", "c", "d", "h", "i", "k", "l", "n", "p", "q", "s", "t", "v", "x", "z"])


class BadTagList(ValueError):
    """The text is not a tag list; `str()` says where it is wrong."""


def parse_tags(text: str) -> dict[str, str]:
    """Return the values by tag, without the white space around them; an empty value stays. Raises BadTagList."""
    parts = text.split(";", _MOST_TAGS)
    if len(parts) > _MOST_TAGS:
        raise BadTagList("there are too many tags")
    if not parts[-1].strip(_WHITE):
        parts.pop()
    found: dict[str, str] = {}
    for part in parts:
        name, equals, value = part.partition("=")
        name = name.strip(_WHITE)
        if not equals or not (name in _USUAL or _NAME.fullmatch(name)):
            raise BadTagList(f"“{part.strip(_WHITE)[:40]}” is not tag=value")
        if name in found:
            raise BadTagList(f"the tag {name}= occurs twice")
        found[name] = value.strip(_WHITE)
    return found


def without_white_space(value: str) -> str:
    for white in _WHITE:
        if white in value:
            value = value.replace(white, "")
    return value


def decoded_base64(value: str) -> bytes:
    """Return the octets of a base64 value that may hold white space anywhere. Raises BadTagList."""
    try:
        return base64.b64decode(without_white_space(value), validate=True)
    except (binascii.Error, ValueError):
        raise BadTagList("a value is not base64") from None

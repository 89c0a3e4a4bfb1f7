"""The beginning of a message's text, for a person who must decide about it.

Python's `email` only reads here; nothing that it makes leaves as a message.
"""

import email
import email.policy
import re
from email.message import Message

__all__ = ["excerpt"]

_MOST_READ = 64 * 1024
# A tag without its end goes to the end of the text, so that the work does not grow with the square of the length.
_TAG = re.compile(r"<(style|script).*?(?:</\1>|\Z)|<[^<>]*+(?:>|\Z)", re.DOTALL | re.IGNORECASE)


def excerpt(content: bytes, most: int = 4096) -> str:
    """Return at most so many octets of the first text of a message, without its attachments; blank if it has none."""
    try:
        found = _text(email.message_from_bytes(content[:_MOST_READ], policy=email.policy.compat32))
    except (ValueError, LookupError, RecursionError, AttributeError, TypeError):
        return ""  # the message is not in the form that it claims
    return found.encode("utf-8", "replace")[:most].decode("utf-8", "ignore")


def _text(message: Message) -> str:
    html = ""
    for part in message.walk():
        kind = part.get_content_type()
        if part.is_multipart() or kind not in {"text/plain", "text/html"} or part.get_filename():
            continue
        if str(part.get("Content-Disposition", "")).lower().startswith("attachment"):
            continue
        raw = part.get_payload(decode=True)
        octets = raw if isinstance(raw, bytes) else b""
        text = octets.decode(part.get_content_charset("utf-8"), "replace")
        if kind == "text/plain":
            return text
        html = html or _TAG.sub("", text)
    return html

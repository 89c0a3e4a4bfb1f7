"""The beginning of a message's text, for a person who must decide about it.

Python's `email` only reads here; nothing that it makes leaves as a message.
"""

import email
import email.policy
import re
from email.message import Message

from smtpd_classic.message.encoded_words import text_in

__all__ = ["excerpt"]

_MOST_READ = 64 * 1024
# A tag without its end goes to the end of the text, so that the work does not grow with the square of the length.
_TAG = re.compile(r"<(style|script).*?(?:</\1>|\Z)|<[^<>]*+(?:>|\Z)", re.DOTALL | re.IGNORECASE)


def excerpt(content: bytes, most: int = 4096) -> str:
    """Return at most so many octets of the first text of a message, without its attachments; blank if it has none.

    The body of a message that cannot be read as MIME is shown as it came: a decision must not rest on an empty text.
    """
    content = content[:_MOST_READ]
    try:
        found = _text(email.message_from_bytes(content, policy=email.policy.compat32))
    except Exception:  # the reader of MIME raises any exception about a message that a stranger has made for it
        found = content.partition(b"\n\n")[2].decode("utf-8", "replace")
    return found.encode("utf-8", "replace")[:most].decode("utf-8", "ignore")


def _text(message: Message) -> str:
    html = ""
    for part in message.walk():
        kind = part.get_content_type()
        if part.is_multipart() or kind not in {"text/plain", "text/html"} or part.get_filename():
            continue
        if str(part.get("Content-Disposition", "")).lower().startswith("attachment"):
            continue
        if kind == "text/plain":
            return _shown(part)
        html = html or _TAG.sub("", _shown(part))
    return html


def _shown(part: Message) -> str:
    """Return the text of a part; read as UTF-8 if its character set is unknown."""
    raw = part.get_payload(decode=True)
    octets = raw if isinstance(raw, bytes) else b""
    try:
        return text_in(octets, part.get_content_charset("utf-8"))
    except (ValueError, LookupError):
        return octets.decode("utf-8", "replace")

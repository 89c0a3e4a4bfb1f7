"""The hook for checks of the content: an object of each check sees one transaction from MAIL to its end.

Rule 1: the objects are made from `CONTENT_CHECKS` (policy/checks.py) when MAIL is accepted, and run in its order.
Rule 2: an exception in a method has decided nothing: the message is deferred (invariant 9).
Rule 3: a check that changes the message says so at MAIL, so that nothing of the message is final before its end.
"""

from collections.abc import Callable, Iterator

from smtpd_classic.message.headers import HeaderBlock
from smtpd_classic.smtp.events import RcptTo
from smtpd_classic.smtp.reply import Reply

__all__ = ["ContentCheck", "Disposition"]


class Disposition:
    """The fate of a complete message, as its checks decide one after the other.

    `header` is the header block without results of others that use our name and without fields of our own; assign
    another block to change it. `junk`, `hold` and `discard` are reasons, or blank; a reason to hold may have details:
    `quarantine: Eicar`. `on_top` are fields above our trace field, each with its line end; the last one is the
    topmost. `accepted` names the filter rule that accepts the message: lists and milters then do not call it junk.
    `forwarded_by` has the recipient from which an added one gets the message.
    `size` counts the octets of the content on the wire.
    """

    __slots__ = (
        "_body",
        "accepted",
        "added",
        "discard",
        "forwarded_by",
        "header",
        "hold",
        "junk",
        "on_top",
        "removed",
        "requests",
        "size",
    )

    def __init__(self, header: HeaderBlock, size: int, body: Callable[[], Iterator[bytes]]) -> None:
        self.header = header
        self.size = size
        self.junk = self.hold = self.discard = self.accepted = ""
        self.on_top: list[bytes] = []
        self.added: list[str] = []
        self.forwarded_by: dict[str, str] = {}
        self.requests: dict[str, RcptTo] = {}
        self.removed: set[str] = set()
        self._body = body

    def body(self) -> Iterator[bytes]:
        """Yield the body with LF line ends, from memory or from the disk. It can be read again."""
        return self._body()

    def top(self) -> bytes:
        """Return the fields above our trace field."""
        return b"".join(reversed(self.on_top))

    def add_recipient(self, path: str, forwarded_by: str = "", request: RcptTo | None = None) -> None:
        """Add a forward-path; its aliases are expanded. With `forwarded_by`, a copy that leaves is treated as that of
        an alias with this address: Delivered-To detects a loop, and the sender is rewritten (SRS). `request` has
        the notices that the sender gets about it (RFC 3461)."""
        self.removed.discard(path)
        self.added.append(path)
        if request is not None:
            self.requests[path] = request
        if forwarded_by:
            self.forwarded_by[path] = forwarded_by

    def remove_recipient(self, path: str) -> None:
        """Remove a recipient, by the forward-path of RCPT or the address that it was resolved to."""
        self.added = [each for each in self.added if each != path]
        self.removed.add(path)


class ContentCheck:
    """A check of one transaction. A subclass overrides the methods that it needs.

    `changes_message` is True if it may change header, recipients or destination at the end. `needs_body` is True if
    `body()` must be called; it is read after `header()`.
    """

    __slots__ = ()

    changes_message: bool = False

    @property
    def needs_body(self) -> bool:
        return False

    def recipient(self, event: RcptTo) -> Reply | None:
        """Return an objection to a recipient that all other checks accept."""
        return None

    def header(self, header: HeaderBlock) -> Reply | None:
        """Return an objection to the header block, as it came."""
        return None

    def body(self, piece: bytes) -> None:
        """Take the next piece of the body while it arrives, with LF line ends."""

    def end(self, disposition: Disposition) -> Reply | None:
        """Return an objection to the complete message, or change its disposition."""
        return None

    def fields(self, disposition: Disposition) -> bytes:
        """Return fields for the top of the message, after all checks have decided.

        A check must not keep the disposition, which refers to the checks: both would wait for the garbage collector.
        """
        return b""

    def longest_fields(self) -> int:
        """Return the largest length that `fields()` can have, after `header()`."""
        return 0

    def summary(self) -> str:
        """Return the result for the log, or blank."""
        return ""

    def close(self) -> None:
        """End the check. Called once: after the commit, a refusal, RSET, or the loss of the connection."""

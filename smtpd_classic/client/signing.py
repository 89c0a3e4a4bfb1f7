"""The DKIM signature of an outgoing message, put on top of each variant of its content."""

import threading
from collections.abc import Callable, Iterator
from typing import Protocol

from smtpd_classic.client.content import ContentFacts, MessageContent
from smtpd_classic.config.check_domains import unsigned_domains
from smtpd_classic.config.schema import Config
from smtpd_classic.domain_name import ascii_domain
from smtpd_classic.keys.ring import KeyRing
from smtpd_classic.keys.store import KeysUnreadable
from smtpd_classic.mailauth.author import AuthorProblem, author_domain
from smtpd_classic.mailauth.dkim_sign import SigningKey, sign
from smtpd_classic.message.headers import HeaderBlock, end_of_header_block

__all__ = ["CannotSign", "ContentSigner", "MessageSigner", "unsigned"]


class CannotSign(Exception):
    """Raised when the domain's mail must be signed but its key cannot be used; `str()` gives the reason. The message
    waits.
    """


class SignedEnvelope(Protocol):
    """The part of an envelope that decides about signing."""

    @property
    def sign(self) -> bool: ...


def unsigned(content: MessageContent) -> MessageContent:
    """Return the content unchanged: no signature is wanted."""
    return content


class MessageSigner:
    """The keys and rules of signing. `signer()` returns the function that signs the variants of one content."""

    def __init__(self, config: Config, ring: KeyRing, clock: Callable[[], float]) -> None:
        self._ring = ring
        self._clock = clock
        self._off = frozenset(map(ascii_domain, unsigned_domains(config)))

    def signer(
        self, envelope: SignedEnvelope, note: Callable[[str], None]
    ) -> Callable[[MessageContent], MessageContent]:
        """Return the function that returns a content with its signature on top. It raises CannotSign."""
        return ContentSigner(self, note) if envelope.sign and not self._ring.is_idle() else unsigned

    def signature(self, content: MessageContent) -> tuple[bytes, str]:
        """Return the fields for the top of a content, and what the log is to say of them. Raises CannotSign."""
        header = content.header()
        try:
            keys = self._keys(header)
        except AuthorProblem as problem:
            return b"", f"not signed: {problem}"
        if not keys:
            return b"", ""
        fields = sign(header, _body(content), keys, now=int(self._clock()))
        return fields, "signed " + ", ".join(f"d={key.domain} s={key.selector}" for key in keys)

    def _keys(self, header: bytes) -> tuple[SigningKey, ...]:
        """Return the keys of the author's domain. Raises AuthorProblem when there is not exactly one author."""
        domain = author_domain(HeaderBlock(header), alone=True)
        if domain in self._off:
            return ()
        try:
            return self._ring.keys(domain)
        except KeysUnreadable as problem:
            raise CannotSign(str(problem)) from None


class ContentSigner:
    """The signatures of one content, one for each variant (8-bit, 7-bit, ASCII header), also for several threads."""

    def __init__(self, signer: MessageSigner, note: Callable[[str], None]) -> None:
        self._signer = signer
        self._note = note
        self._lock = threading.Lock()
        self._fields: dict[ContentFacts, bytes] = {}

    def __call__(self, content: MessageContent) -> MessageContent:
        """Return the content with its signature on top. Raises CannotSign."""
        facts = content.facts()
        with self._lock:
            fields = self._fields.get(facts)
            if fields is None:
                fields, words = self._signer.signature(content)
                self._fields[facts] = fields
                if words:
                    self._note(words)
        return content.topped(fields) if fields else content


def _body(content: MessageContent) -> Iterator[bytes]:
    pieces = content.chunks()
    first = next(pieces, b"")
    end = end_of_header_block(first)
    if end >= 0:
        yield first[end + 1 :]
    yield from pieces

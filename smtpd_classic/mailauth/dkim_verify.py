"""The verification of the DKIM signatures of one message (RFC 6376 6), while its body is streamed."""

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

from smtpd_classic.dns import DnsFailure, NoSuchDomain
from smtpd_classic.mailauth.body_hash import BodyHash
from smtpd_classic.mailauth.canonical import SignedField, canonical_field, choose_fields, group_fields, header_fields
from smtpd_classic.mailauth.dkim_key import KeyRecord, parse_key_record
from smtpd_classic.mailauth.dkim_signature import (
    ALGORITHMS,
    DkimSignature,
    UnusableSignature,
    parse_signature,
    without_signature_value,
)
from smtpd_classic.mailauth.lookup import Lookups
from smtpd_classic.mailauth.tag_list import BadTagList
from smtpd_classic.mailauth.words import ResultWord

__all__ = ["DkimResult", "DkimVerifier"]

MAX_SIGNATURES = 5
# The bounds of the work before it begins: a header of 256 KiB has room for 60,000 fields or 16,000 signatures.
_MAX_FIELDS = 2_000
_MAX_PARSED, _MAX_UNICODE = 100, 10  # names in Unicode take a hundred times as long
_MAX_KEY_RECORDS = 3
_NAME = b"dkim-signature"


class DkimResult(NamedTuple):
    """The result of one signature. Blank values are unknown."""

    word: ResultWord
    reason: str = ""
    domain: str = ""
    selector: str = ""
    algorithm: str = ""
    shown: str = ""  # the beginning of b=, which tells two signatures apart (RFC 6008)
    testing: bool = False


class _Candidate(NamedTuple):
    """One signature of the message that is verified."""

    field: SignedField
    signature: DkimSignature | None
    problem: UnusableSignature | None = None

    def result(self, word: ResultWord, reason: str = "", *, testing: bool = False) -> DkimResult:
        signature = self.signature
        if signature is None:
            domain, selector = (self.problem.domain, self.problem.selector) if self.problem else ("", "")
            return DkimResult(word, reason, domain, selector)
        return DkimResult(
            word, reason, signature.domain, signature.selector, signature.algorithm, signature.shown, testing
        )


class DkimVerifier:
    """The signatures of one message. Give it the header block, then the body in pieces, then ask for the results.

    At most five of the first hundred signatures are verified: those of the author's domain first, then those of its
    parents and subdomains, each in the order of the header.
    """

    def __init__(self, header: bytes, *, now: int, author_domain: str = "") -> None:
        """Parse the signatures in a header block with LF line ends. `now` is the time of reception."""
        too_many = header.count(b"\n") > _MAX_FIELDS and _number_of_fields(header) > _MAX_FIELDS
        self._groups = {} if too_many else group_fields(header_fields(header))
        self._canonical: dict[tuple[int, str], bytes] = {}  # by the identity of a field in `_groups`, and form
        self._now = now
        found = [_candidate(field) for field in _parsed(self._groups.get(_NAME, ()))]
        if too_many and _has_signature(header):
            found = [_unread(f"the header has more than {_MAX_FIELDS} fields")]
        found.sort(key=lambda each: _distance(each.signature, author_domain))
        self._candidates = found[:MAX_SIGNATURES]
        self._bodies = _body_hashes([each.signature for each in self._candidates if each.signature is not None])

    @property
    def needs_body(self) -> bool:
        """True when at least one signature needs the hash of the body."""
        return bool(self._bodies)

    @property
    def domains(self) -> frozenset[str]:
        """The domains of the signatures that are verified."""
        return frozenset(each.signature.domain for each in self._candidates if each.signature is not None)

    def preview(self) -> tuple[DkimResult, ...]:
        """Return the results as far as the header tells, all with the longest word: their number and names stay."""
        return tuple(each.result(ResultWord.TEMPERROR) for each in self._candidates)

    def update(self, piece: bytes) -> None:
        """Take the next piece of the body, with LF line ends."""
        for body in self._bodies.values():
            body.update(piece)

    def finish(self, lookups: Lookups) -> tuple[DkimResult, ...]:
        """Return the results, in the order in which the signatures were chosen; empty for an unsigned message."""
        digests = {form: body.finish() for form, body in self._bodies.items()}
        return tuple(self._verify(each, digests, lookups) for each in self._candidates)

    def _verify(self, candidate: _Candidate, digests: dict[str, bytes], lookups: Lookups) -> DkimResult:
        signature = candidate.signature
        if signature is None:
            assert candidate.problem is not None
            return candidate.result(candidate.problem.word, str(candidate.problem))
        try:
            self._check_time(signature)
            cut = self._check_body(signature, digests[signature.body_form])
            records = _key_records(signature, lookups)
            key = self._check_signature(signature, records)
        except UnusableSignature as unusable:
            return candidate.result(unusable.word, str(unusable))
        except DnsFailure as failure:
            return candidate.result(ResultWord.TEMPERROR, str(failure))
        if cut:
            return candidate.result(ResultWord.POLICY, "l= leaves a part of the body unsigned", testing=key.testing)
        return candidate.result(ResultWord.PASS, "the domain tests DKIM" if key.testing else "", testing=key.testing)

    def _check_time(self, signature: DkimSignature) -> None:
        if signature.expires_at is not None and signature.expires_at < self._now:
            raise UnusableSignature(ResultWord.PERMERROR, "the signature has expired")

    def _check_body(self, signature: DkimSignature, digest: bytes) -> bool:
        """Check the hash of the body; return whether the signature leaves out a part of it."""
        body = self._bodies[signature.body_form]
        cut = signature.length is not None and signature.length < body.octets
        if signature.length is not None and signature.length > body.octets:
            raise UnusableSignature(ResultWord.PERMERROR, "l= is more than the body has")
        if cut:
            assert signature.length is not None
            digest = body.beginning(signature.length) or b""
        if digest != signature.body_hash:
            raise UnusableSignature(ResultWord.FAIL, "the body has been changed")
        return cut

    def _check_signature(self, signature: DkimSignature, records: Sequence[KeyRecord]) -> KeyRecord:
        """Return the key that verifies the signature. Raises UnusableSignature."""
        digest = hashlib.sha256(self._signed_data(signature)).digest()
        word, reason = ResultWord.FAIL, "the signature does not match the header"
        for record in records:
            try:
                _check_usable(record, signature)
                if record.verifies(signature.signature, digest):
                    return record
            except UnusableSignature as unusable:
                word, reason = unusable.word, str(unusable)
        raise UnusableSignature(word, reason)

    def _signed_data(self, signature: DkimSignature) -> bytes:
        """Return the octets that were signed (RFC 6376 3.7): the chosen fields, then this one without its value."""
        form = signature.header_form
        chosen = choose_fields(self._groups, signature.names, signature.field)
        lines = [self._canonical_line(field, form) for field in chosen]
        name, colon, value = signature.field.raw.partition(b":")
        own = SignedField(signature.field.name, name + colon + without_signature_value(value))
        return b"".join(lines) + canonical_field(own, form)

    def _canonical_line(self, field: SignedField, form: str) -> bytes:
        """Return a field in canonical form with its line end; signatures share the result."""
        key = (id(field), form)
        if key not in self._canonical:
            self._canonical[key] = canonical_field(field, form) + b"\r\n"
        return self._canonical[key]


def _number_of_fields(header: bytes) -> int:
    return header.count(b"\n") - header.count(b"\n ") - header.count(b"\n\t")


def _has_signature(header: bytes) -> bool:
    lowered = b"\n" + header.lower()
    return any(b"\n" + _NAME + sign in lowered for sign in (b":", b" ", b"\t"))


def _parsed(signatures: Sequence[SignedField]) -> list[SignedField]:
    """Return the first signatures: as many as are parsed."""
    first = signatures[:_MAX_PARSED]
    unicode = [field for field in first if not field.raw.isascii()]
    left_out = {id(field) for field in unicode[_MAX_UNICODE:]}
    return [field for field in first if id(field) not in left_out]


def _unread(reason: str) -> _Candidate:
    """Return the stand-in for signatures that are not read at all."""
    return _Candidate(SignedField(_NAME, b""), None, UnusableSignature(ResultWord.NEUTRAL, reason))


def _candidate(field: SignedField) -> _Candidate:
    try:
        return _Candidate(field, parse_signature(field))
    except UnusableSignature as problem:
        return _Candidate(field, None, problem)


def _distance(signature: DkimSignature | None, author_domain: str) -> int:
    """Return how early a signature is verified: 0 is first."""
    if signature is None:
        return 3
    domain = signature.domain
    if domain == author_domain:
        return 0
    return 1 if author_domain.endswith("." + domain) or domain.endswith("." + author_domain) else 2


def _body_hashes(signatures: Sequence[DkimSignature]) -> dict[str, BodyHash]:
    lengths: dict[str, list[int]] = {}
    for each in signatures:
        lengths.setdefault(each.body_form, []).extend([] if each.length is None else [each.length])
    return {form: BodyHash(form, wanted) for form, wanted in lengths.items()}


def _key_records(signature: DkimSignature, lookups: Lookups) -> list[KeyRecord]:
    """Return the key records of the selector. Raises UnusableSignature when there is none, or DnsFailure."""
    name = f"{signature.selector}._domainkey.{signature.domain}"
    try:
        texts = lookups.txt(name)
    except NoSuchDomain:
        texts = ()
    if not texts:
        raise UnusableSignature(ResultWord.PERMERROR, "there is no key in DNS")
    records: list[KeyRecord] = []
    problem = ""
    for text in texts[:_MAX_KEY_RECORDS]:
        try:
            records.append(parse_key_record(text))
        except BadTagList as bad:
            problem = str(bad)
    if not records:
        raise UnusableSignature(ResultWord.PERMERROR, problem)
    return records


def _check_usable(record: KeyRecord, signature: DkimSignature) -> None:
    """Check that the key may be used for such a signature. Raises UnusableSignature."""
    reason = ""
    if record.key_type != ALGORITHMS[signature.algorithm]:
        reason = "the key is of another type"
    elif record.hashes is not None and "sha256" not in record.hashes:
        reason = "the key does not allow SHA-256"
    elif "*" not in record.services and "email" not in record.services:
        reason = "the key is not for mail"
    elif record.strict and signature.identity_domain != signature.domain:
        reason = "the key does not allow i= in a subdomain"
    if reason:
        raise UnusableSignature(ResultWord.PERMERROR, reason)

"""The checks of one message during reception, and the fields that report them.

The fields stand on top of the message. A small message is held until its results are known. For a larger one the server
keeps room for them when it writes the first octet, and fills it before the fsync: the number of results and all names
in them are known at the end of the header.
"""

from smtpd_classic.dns import DnsFailure, NoSuchDomain
from smtpd_classic.domain_name import ascii_domain
from smtpd_classic.mailauth.message_check import MessageCheck, MessageResults, results_field
from smtpd_classic.mailauth.results import BadResults, MethodResult, parse_results
from smtpd_classic.mailauth.words import ResultWord
from smtpd_classic.message.headers import HeaderBlock
from smtpd_classic.policy import Transaction
from smtpd_classic.policy.authentication import JUNK, MARK, lookups_of, spf_of, verdict_on
from smtpd_classic.policy.hosts import HostPatterns
from smtpd_classic.policy.transaction import AuthenticationVerdict

__all__ = ["MailAuthentication", "trusts_results", "without_foreign_results"]

_RESULTS, _SPAM = b"authentication-results", (b"x-spam-flag", b"x-spam-reason")
_LONGEST_REASON = 60


class MailAuthentication:
    """The checks of one message. `begin()` takes the header, `update()` the body, `finish()` gives the verdict."""

    __slots__ = ("_arrival", "_check", "_server", "_transaction", "verdict")

    def __init__(self, transaction: Transaction, server: str, arrival: float) -> None:
        self._transaction = transaction
        self._server = server
        self._arrival = arrival
        self._check: MessageCheck | None = None
        self.verdict: AuthenticationVerdict | None = None

    def begin(self, header: HeaderBlock) -> None:
        """Take the header block as it came."""
        spf = spf_of(self._transaction)
        self._check = MessageCheck(header, spf, lookups_of(self._transaction), int(self._arrival))

    def update(self, piece: bytes) -> None:
        """Take the next piece of the body."""
        if self._check is not None and self._check.needs_body:
            self._check.update(piece)

    def finish(self) -> AuthenticationVerdict:
        """Query DNS, decide, and store the verdict in the transaction."""
        assert self._check is not None
        self.verdict = self._transaction.verdict = verdict_on(self._transaction, self._check.finish())
        return self.verdict

    @property
    def is_junk(self) -> bool:
        """Return True if the message is for the junk folder."""
        return self.verdict is not None and self.verdict.action == JUNK

    def room(self) -> int:
        """Return the largest possible length of the fields."""
        assert self._check is not None
        longest = self._check.longest()
        return len(self._fields(longest, "refuse", "x" * _LONGEST_REASON, ResultWord.TEMPERROR))

    def fields(self, room: int = 0) -> bytes:
        """Return the fields for the verdict, with blanks behind the last word to fill the room kept for them."""
        verdict = self.verdict
        assert verdict is not None
        reason = verdict.reason if verdict.action != MARK or verdict.reason != "none" else "none"
        fields = self._fields(verdict.results, verdict.action, reason, self._iprev())
        return fields[:-1] + b" " * (room - len(fields)) + b"\n"

    def _iprev(self) -> ResultWord:
        """Return whether the client's address leads to a name that leads back (RFC 8601 3)."""
        client = self._transaction.visitor.client
        if client.name not in {"", "unknown"}:
            return ResultWord.PASS
        try:
            names = lookups_of(self._transaction).ptr(client.ip)
        except NoSuchDomain:
            names = ()
        except DnsFailure:
            return ResultWord.TEMPERROR
        return ResultWord.FAIL if names else ResultWord.PERMERROR

    def _fields(self, results: MessageResults, action: str, reason: str, word: ResultWord) -> bytes:
        iprev = MethodResult("iprev", word, (("policy.iprev", self._transaction.visitor.client.ip),))
        text = results_field(self._server, results, action, iprev)
        text += f"X-Spam-Flag: {'YES' if action == JUNK else 'NO'}\nX-Spam-Reason: {_printable(reason)}\n"
        return text.encode("utf-8")


def _printable(reason: str) -> str:
    shown = reason.encode("ascii", "replace").decode()
    return "".join(each if each.isprintable() else "?" for each in shown)[:_LONGEST_REASON].rstrip() or "none"


def _ascii(name: str) -> str:
    try:
        return ascii_domain(name)
    except ValueError:
        return name.lower()


def without_foreign_results(header: HeaderBlock, ids: frozenset[str]) -> bytes:
    """Return the header block without X-Spam fields, and without results that use our name or are unreadable."""
    if not header.has(_RESULTS) and not any(header.has(name) for name in _SPAM):
        return header.raw
    found = [field for name in _SPAM for field in header.fields(name)]
    found += [field for field in header.fields(_RESULTS) if _is_foreign(header.raw[field.value : field.end], ids)]
    raw = header.raw
    for field in sorted(found, key=lambda each: each.start, reverse=True):
        raw = raw[: field.start] + raw[field.end :]
    return raw


def _is_foreign(value: bytes, ids: frozenset[str]) -> bool:
    try:
        return _ascii(parse_results(value.decode("utf-8")).server) in ids
    except (BadResults, UnicodeDecodeError):
        return True


def trusts_results(patterns: HostPatterns, transaction: Transaction) -> bool:
    """Return True if the client is a gateway of this site: its results stay in the message."""
    client = transaction.visitor.client
    return not client.local and patterns.holds(client.ip, client.name)

"""SPF, DKIM and DMARC of one message during reception, and the fields that report them.

The fields stand on top of the message. For a message that is written before its end, the server keeps room for them and
fills it before the fsync: the number of results and all names in them are known at the end of the header.
"""

from ipaddress import ip_address

from smtpd_classic.dns import DnsFailure, NoSuchDomain
from smtpd_classic.mailauth.message_check import MessageCheck, MessageResults, results_field
from smtpd_classic.mailauth.results import MethodResult
from smtpd_classic.mailauth.words import ResultWord
from smtpd_classic.message.headers import HeaderBlock
from smtpd_classic.policy.authentication import JUNK, is_checked, lookups_of, spf_of, verdict_on
from smtpd_classic.policy.content import ContentCheck, Disposition
from smtpd_classic.policy.transaction import Transaction
from smtpd_classic.smtp.reply import Reply

__all__ = ["MailAuthentication", "mail_authentication"]

_LONGEST_REASON = 60
_MOST_NAMES = 10


def mail_authentication(transaction: Transaction) -> "MailAuthentication | None":
    """Return the check of a transaction; None for a client that is logged in, trusted or local."""
    return MailAuthentication(transaction) if is_checked(transaction) else None


class MailAuthentication(ContentCheck):
    """The checks of one message. The verdict is stored in the transaction, for the rows of the table that refuse."""

    __slots__ = ("_check", "_iprev", "_transaction")

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction
        self._check: MessageCheck | None = None
        self._iprev = ResultWord.NONE

    @property
    def needs_body(self) -> bool:
        return self._check is not None and self._check.needs_body

    def header(self, header: HeaderBlock) -> Reply | None:
        """Take the header block as it came."""
        transaction = self._transaction
        now = int(transaction.arrival)
        self._check = MessageCheck(header, spf_of(transaction), lookups_of(transaction), now)
        return None

    def body(self, piece: bytes) -> None:
        if self._check is not None:
            self._check.update(piece)

    def end(self, disposition: Disposition) -> Reply | None:
        """Query DNS and decide."""
        assert self._check is not None
        verdict = self._transaction.verdict = verdict_on(self._transaction, self._check.finish())
        if verdict.action == JUNK:
            disposition.junk = disposition.junk or verdict.reason
        self._iprev = self._reverse_name()
        return None

    def fields(self, disposition: Disposition) -> bytes:
        """Return the fields with the decision of all checks: a milter behind this one may call the message junk."""
        verdict = self._transaction.verdict
        if verdict is None:
            return b""
        reason = disposition.junk or verdict.reason
        return self._fields(verdict.results, verdict.action, reason, self._iprev, bool(disposition.junk))

    def longest_fields(self) -> int:
        assert self._check is not None
        return len(self._fields(self._check.longest(), "refuse", "x" * _LONGEST_REASON, ResultWord.TEMPERROR, True))

    def summary(self) -> str:
        verdict = self._transaction.verdict
        return "" if verdict is None else f"auth: {verdict.results.summary()}"

    def _reverse_name(self) -> ResultWord:
        """Return whether the client's address leads to a name that leads back (RFC 8601 3)."""
        client = self._transaction.peer.client
        if client.name not in {"", "unknown"}:
            return ResultWord.PASS
        try:
            names = lookups_of(self._transaction).ptr(client.ip)
        except NoSuchDomain:
            names = ()
        except DnsFailure:
            return ResultWord.TEMPERROR
        return self._forward(names[:_MOST_NAMES], client.ip) if names else ResultWord.PERMERROR

    def _forward(self, names: tuple[str, ...], ip: str) -> ResultWord:
        """Return whether one of the names leads to the address; a name that could not be looked up might."""
        lookups, address = lookups_of(self._transaction), ip_address(ip)
        found = ResultWord.FAIL
        for name in names:
            try:
                addresses = lookups.ipv4(name) if address.version == 4 else lookups.ipv6(name)
            except NoSuchDomain:
                continue
            except DnsFailure:
                found = ResultWord.TEMPERROR
                continue
            if any(ip_address(each) == address for each in addresses):
                return ResultWord.PASS
        return found

    def _fields(self, results: MessageResults, action: str, reason: str, word: ResultWord, is_junk: bool) -> bytes:
        peer = self._transaction.peer
        iprev = MethodResult("iprev", word, (("policy.iprev", peer.client.ip),))
        text = results_field(peer.rules.config.helo_name, results, action, iprev)
        text += f"X-Spam-Flag: {'YES' if is_junk else 'NO'}\nX-Spam-Reason: {_printable(reason)}\n"
        return text.encode("utf-8")


def _printable(reason: str) -> str:
    shown = reason.encode("ascii", "replace").decode()
    return "".join(each if each.isprintable() else "?" for each in shown)[:_LONGEST_REASON].rstrip() or "none"

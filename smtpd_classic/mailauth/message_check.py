"""All checks of one message that comes in: SPF, DKIM and DMARC together, and the field that reports them."""

from contextlib import suppress
from typing import NamedTuple

from smtpd_classic.dns import DnsFailure
from smtpd_classic.mailauth.author import AuthorProblem, address_in_name, author_domain
from smtpd_classic.mailauth.dkim_verify import DkimResult, DkimVerifier
from smtpd_classic.mailauth.dmarc import DmarcResult, check_dmarc, confirms, organizational_domain
from smtpd_classic.mailauth.dmarc_record import QUARANTINE
from smtpd_classic.mailauth.lookup import Lookups
from smtpd_classic.mailauth.results import AuthenticationResults, MethodResult
from smtpd_classic.mailauth.spf import SpfResult
from smtpd_classic.mailauth.words import ResultWord
from smtpd_classic.message.headers import HeaderBlock

__all__ = ["MessageCheck", "MessageResults", "results_field"]


class MessageResults(NamedTuple):
    """The results of all methods. `author` is blank when the message has not exactly one author domain. `imitated` is
    an address in the author's display name that is not the author's, or blank."""

    spf: SpfResult
    dkim: tuple[DkimResult, ...]
    dmarc: DmarcResult
    author: str
    imitated: str = ""

    @property
    def confirmed(self) -> bool:
        """True when SPF or DKIM passed for the author's domain or one above or below it."""
        passed = [each.domain for each in self.dkim if each.word is ResultWord.PASS]
        passed += [self.spf.domain] if self.spf.word is ResultWord.PASS else []
        return bool(self.author) and confirms(passed, self.author)

    @property
    def unknown(self) -> bool:
        """True when a look-up failed that could have confirmed the author. One of another domain could not."""
        unclear = [each.domain for each in self.dkim if each.word is ResultWord.TEMPERROR]
        unclear += [self.spf.domain] if self.spf.word is ResultWord.TEMPERROR else []
        return self.dmarc.word is ResultWord.TEMPERROR or confirms(unclear, self.author)

    def summary(self) -> str:
        """Return the results for one line of the log."""
        dkim = [f"dkim={each.word}{_where(each.domain, each.selector)}" for each in self.dkim] or ["dkim=none"]
        policy = f" p={self.dmarc.policy}" if self.dmarc.policy else ""
        name = f" name={self.imitated}" if self.imitated else ""
        return f"spf={self.spf.word}{_where(self.spf.domain)} {' '.join(dkim)} dmarc={self.dmarc.word}{policy}{name}"


def _where(*names: str) -> str:
    shown = "/".join(name for name in names if name)
    return f" ({shown})" if shown else ""


class MessageCheck:
    """The checks of one message. Give it the header, then the body in pieces, then ask for the results."""

    def __init__(self, header: HeaderBlock, spf: SpfResult, lookups: Lookups, now: int) -> None:
        self._spf = spf
        self._lookups = lookups
        self._problem = ""
        self._author = ""
        try:
            self._author = author_domain(header)
        except AuthorProblem as problem:
            self._problem = str(problem)
        self._imitated = address_in_name(header)
        self._dkim = DkimVerifier(header.raw, now=now, author_domain=self._author)

    @property
    def needs_body(self) -> bool:
        """True when the message has a signature that needs the hash of its body."""
        return self._dkim.needs_body

    def update(self, piece: bytes) -> None:
        """Take the next piece of the body, with LF line ends."""
        self._dkim.update(piece)

    def longest(self) -> MessageResults:
        """Return results whose report is as long as that of the final ones can be."""
        dmarc = DmarcResult(ResultWord.TEMPERROR, self._author, policy=QUARANTINE, asked=QUARANTINE)
        dkim = self._dkim.preview() or (DkimResult(ResultWord.NONE),)
        return MessageResults(self._spf, dkim, dmarc, self._author)

    def finish(self) -> MessageResults:
        """Ask DNS for the keys and the policy, and return the results."""
        self._keep_time()
        dkim = self._dkim.finish(self._lookups)
        if self._problem:
            dmarc = DmarcResult(ResultWord.PERMERROR, "", self._problem)
        elif not self._author:
            dmarc = DmarcResult(ResultWord.NONE, "", "the author's domain cannot be in DNS")
        else:
            dmarc = check_dmarc(self._author, self._spf, dkim, self._lookups)
        return MessageResults(self._spf, dkim, dmarc, self._author, self._imitated)

    def _keep_time(self) -> None:
        """Keep time for the author's domain, or for its organization when another domain of that may have signed."""
        self._lookups.keep_for(self._author)
        top = self._author.rpartition(".")[2]
        if any(each != self._author and each.rpartition(".")[2] == top for each in self._dkim.domains):
            with suppress(DnsFailure):
                self._lookups.keep_for(organizational_domain(self._author, self._lookups))


def results_field(server: str, results: MessageResults, disposition: str, iprev: MethodResult | None = None) -> str:
    """Return the Authentication-Results field with LF line ends. `disposition` is the action that was taken."""
    methods = [_dkim(each) for each in results.dkim] or [MethodResult("dkim", "none")]
    methods += [_spf(results.spf), _dmarc(results.dmarc, disposition)]
    if iprev is not None:
        methods.append(iprev)
    return AuthenticationResults(server, tuple(methods)).field()


def _dkim(result: DkimResult) -> MethodResult:
    values = {
        "header.d": result.domain,
        "header.s": result.selector,
        "header.a": result.algorithm,
        "header.b": result.shown,
    }
    return MethodResult("dkim", str(result.word), _present(values))


def _spf(result: SpfResult) -> MethodResult:
    identity = "smtp.helo" if result.by_helo else "smtp.mailfrom"
    return MethodResult("spf", str(result.word), _present({identity: result.domain}))


def _dmarc(result: DmarcResult, disposition: str) -> MethodResult:
    shown = _present({"policy.dmarc": result.policy, "header.from": result.domain})
    return MethodResult("dmarc", str(result.word), shown, comment=f"dis={disposition}" if result.policy else "")


def _present(values: dict[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple((name, value) for name, value in values.items() if value)

"""The result of a check, and the examination that a check uses."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from smtpd_classic.config.schema import Config
from smtpd_classic.dns import Resolver
from smtpd_classic.doctor.reports import ReportSummary
from smtpd_classic.keys.publication import Publication
from smtpd_classic.keys.store import KeyStore

__all__ = ["NOT_USED", "CheckResult", "CheckState", "Examination", "good", "unknown", "wrong"]


NOT_USED = "not used: mail leaves by the relay"


class CheckState(StrEnum):
    """The three results of a check."""

    GOOD = "good"
    WRONG = "wrong"
    UNKNOWN = "could not be asked"


class CheckResult(NamedTuple):
    """One row: the subject, the finding and the advice."""

    state: CheckState
    subject: str
    found: str
    advice: str = ""


@dataclass(frozen=True)
class Examination:
    """The data and tools of one examination.

    `banner` returns the greeting of a host at a port, `reach` connects to one, or to a Unix socket if the port is 0;
    both raise OSError, and `banner` also NoSuchDomain or DnsFailure. `public` are the addresses under which other
    servers know this one. `last_visitor` returns the last line of the log about a connection of a stranger, blank for
    none, and raises OSError. `reports` returns the DMARC reports about a domain that have arrived, and raises
    AccountsUnreadable or OSError. `ca_file` has the authorities to trust, blank for those of the system. Checks that
    ask servers of others keep their results in the file `kept_in`, unless it is blank, and ask again `on_demand`.
    """

    config: Config
    resolver: Resolver
    store: KeyStore
    publication: Publication
    public: tuple[str, ...]
    domains: tuple[str, ...]
    clock: Callable[[], float]
    banner: Callable[[str, int], str]
    reach: Callable[[str, int], None]
    last_visitor: Callable[[], str]
    reports: Callable[[str], ReportSummary]
    name_servers: tuple[str, ...] = ()
    ca_file: str = ""
    probe_hosts: tuple[str, ...] = ()
    lists: tuple[str, ...] = ()
    on_demand: bool = True
    kept_in: str = ""

    @property
    def by_relay(self) -> bool:
        """Return True if all mail leaves through a relay: then our own address does not matter."""
        remote = self.config.remote
        return remote.relay_always or (remote.relay_when_delivery_fails and not remote.look_up_mx)


def good(subject: str, found: str) -> CheckResult:
    return CheckResult(CheckState.GOOD, subject, found)


def wrong(subject: str, found: str, advice: str) -> CheckResult:
    return CheckResult(CheckState.WRONG, subject, found, advice)


def unknown(subject: str, found: str, advice: str = "") -> CheckResult:
    return CheckResult(CheckState.UNKNOWN, subject, found, advice)

"""Delivery to the mail servers that DNS names for the recipient's domain (RFC 5321 5.1, RFC 7505)."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

from smtpd_classic.client.hosts import Candidate, addresses_of, in_turn, put_off
from smtpd_classic.client.network import Encryption, Network, Target
from smtpd_classic.client.transport import Action, DeliveryJob, Outcome, Peer, Settle
from smtpd_classic.dns import DnsFailure, MxRecord, NoSuchDomain, NullMx
from smtpd_classic.smtp.address import split_address
from smtpd_classic.smtp.reply import Reply

__all__ = ["MxTransport"]

_MOST_HOSTS = 20


@dataclass(frozen=True, slots=True)
class MxTransport:
    """The transport by MX records. All recipients of a job are of one domain."""

    network: Network
    encryption: Encryption = Encryption.OFFERED

    def deliver(self, job: DeliveryJob, settle: Settle) -> None:
        _, domain = split_address(job.recipients[0].address)
        try:
            exchangers = self.network.resolver.mx(domain)[:_MOST_HOSTS]
        except NoSuchDomain:
            settle(job.all(_final("5.1.2", f"the domain {domain} does not exist or has no mail server")))
        except NullMx:
            settle(job.all(_final("5.1.10", f"the domain {domain} accepts no mail")))
        except DnsFailure as problem:
            settle(job.all(put_off("4.4.3", f"the mail servers of {domain} could not be looked up: {problem}")))
        else:
            self._deliver(_Exchangers(exchangers, self), job, settle, domain)

    def _deliver(self, exchangers: "_Exchangers", job: DeliveryJob, settle: Settle, domain: str) -> None:
        left: list[Outcome] = []

        def sift(outcomes: list[Outcome]) -> None:
            left.extend(outcome for outcome in outcomes if outcome.soft)
            final = [outcome for outcome in outcomes if not outcome.soft]
            if final:
                settle(final)

        loop = _final("5.4.6", f"mail for {domain} loops back to this server, which is its best mail server")
        in_turn(exchangers.groups(), job, sift, self.network, loop)
        if left:
            # If we are a backup MX of the domain, mail can only wait for its better servers.
            ours = exchangers.hold_us()
            settle([outcome._replace(soft=False) for outcome in left] if ours else left)


def _final(enhanced: str, words: str) -> Outcome:
    return Outcome("", Action.FAILED, Reply(550, enhanced, words))


class _Exchangers:
    """The mail servers of one domain, looked up group by group of equal preference, as far as they are needed."""

    def __init__(self, exchangers: tuple[MxRecord, ...], transport: MxTransport) -> None:
        self._groups = [list(group) for _, group in groupby(exchangers, lambda mx: mx.preference)]
        self._transport = transport
        self._ours = False

    def groups(self) -> Iterator[list[Candidate]]:
        """Yield the hosts better than ourselves (RFC 5321 5.1: this server and all hosts no better are dropped)."""
        while self._groups and not self._ours:
            group = self._look_up(self._groups.pop(0))
            if not self._ours:
                yield group

    def hold_us(self) -> bool:
        for _ in self.groups():
            pass
        return self._ours

    def _look_up(self, group: list[MxRecord]) -> list[Candidate]:
        own, network = self._transport.network.own, self._transport.network
        self._ours = any(own.named(mx.host) for mx in group)
        found: list[Candidate] = []
        for mx in group if not self._ours else ():
            like = Target(Peer(mx.host, "", network.smtp_port), self._transport.encryption, from_mx=True)
            found += addresses_of(like, network)
        self._ours = self._ours or any(
            isinstance(each, Target) and own.address(each.peer.ip, each.peer.port) for each in found
        )
        return found

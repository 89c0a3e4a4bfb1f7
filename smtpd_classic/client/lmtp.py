"""Delivery into the mailboxes of a server of final delivery, such as Dovecot, by LMTP (RFC 2033)."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from smtpd_classic.client.dialect import Dialect
from smtpd_classic.client.health import Health
from smtpd_classic.client.hosts import Candidate, addresses_of, in_turn, put_off
from smtpd_classic.client.network import Encryption, Network, Target
from smtpd_classic.client.transport import Action, DeliveryJob, Outcome, Peer, Settle
from smtpd_classic.config.mailbox_place import LmtpServer, MailboxPlace
from smtpd_classic.smtp.reply import Reply

__all__ = ["LmtpTransport", "lmtp_servers", "lmtp_targets"]

_JUNK = b"X-Spam-Flag: YES\n"
_DEAD_S = 2.0  # a server beside this one returns soon


@dataclass(frozen=True, slots=True)
class LmtpTransport:
    """The transport by LMTP servers, tried in the order of the configuration.

    Junk gets `X-Spam-Flag: YES` on top, by which a script of the server files it.
    """

    servers: tuple[Target, ...]
    network: Network

    def deliver(self, job: DeliveryJob, settle: Settle) -> None:
        if job.junk:
            job = job._replace(content=job.content.topped(_JUNK))

        def soften(outcomes: list[Outcome]) -> None:
            settle([_deferred_if_full(outcome) for outcome in outcomes])

        in_turn(self._candidates(), job, soften, self.network, put_off("4.4.4", "no LMTP server is configured"))

    def _candidates(self) -> Iterator[list[Candidate]]:
        health = self.network.health
        for server in sorted(self.servers, key=lambda server: health.troubled(server.peer)):
            yield [server] if server.socket_path else list(addresses_of(server, self.network))


def lmtp_servers(place: MailboxPlace, network: Network) -> LmtpTransport:
    """Return the transport into the mailboxes of a place. Its servers are tried again after seconds, not minutes."""
    near = replace(network, health=Health(network.clock, _DEAD_S))
    return LmtpTransport(lmtp_targets(place), near)


def lmtp_targets(place: MailboxPlace) -> tuple[Target, ...]:
    return tuple(map(_target, place.servers))


def _target(server: LmtpServer) -> Target:
    if server.path:
        return Target(Peer(server.path), Encryption.NEVER, dialect=Dialect.LMTP, socket_path=server.path)
    return Target(Peer(server.name, "", server.port), Encryption.OFFERED, dialect=Dialect.LMTP)


def _deferred_if_full(outcome: Outcome) -> Outcome:
    """Defer the mail of a full mailbox until the life time in queue: its owner may make room."""
    if outcome.action is not Action.FAILED or outcome.reply.enhanced != "5.2.2":
        return outcome
    return outcome._replace(action=Action.DELAYED, reply=Reply(452, "4.2.2", outcome.reply.text))

"""Delivery to hosts that the configuration names, in their order: the smarthost, or those of a direct domain."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from smtpd_classic.client.hosts import Candidate, addresses_of, in_turn, put_off
from smtpd_classic.client.network import Encryption, Network, RelayLogin, Target
from smtpd_classic.client.signing import unsigned
from smtpd_classic.client.transport import DeliveryJob, Outcome, Peer, Settle
from smtpd_classic.config.kinds import Host
from smtpd_classic.config.schema import DirectDomain, Remote
from smtpd_classic.smtp.address import NULL_SENDER

__all__ = ["RelayTransport", "direct_hosts", "smarthost"]


@dataclass(frozen=True, slots=True)
class RelayTransport:
    """The transport by configured hosts.

    `sender` replaces the envelope sender, but never the null one. Tries through a `smarthost` are counted. `signs` is
    False if the relay refuses signed mail.
    """

    hosts: tuple[Target, ...]
    network: Network
    smarthost: bool = False
    sender: str = ""
    signs: bool = True

    def deliver(self, job: DeliveryJob, settle: Settle) -> None:
        if self.sender and job.sender != NULL_SENDER:
            job = job._replace(sender=self.sender)
        if not self.signs:
            job = job._replace(sign=unsigned)

        def count(outcomes: list[Outcome]) -> None:
            settle(
                [outcome._replace(through_relay=outcome.begun) for outcome in outcomes] if self.smarthost else outcomes
            )

        in_turn(self._groups(), job, count, self.network, put_off("4.4.4", "no relay host is configured"))

    def _groups(self) -> Iterator[list[Candidate]]:
        """Yield the addresses of the hosts in the order of the list, but hosts with a recent failure last."""
        health = self.network.health
        for host in sorted(self.hosts, key=lambda host: health.troubled(host.peer)):
            yield list(addresses_of(host, self.network))


def smarthost(remote: Remote, network: Network, *, signs: bool = True) -> RelayTransport:
    login = None
    if remote.relay_auth:
        login = RelayLogin(
            remote.relay_user, remote.relay_password, remote.relay_token_command, remote.relay_password_file
        )
    hosts = tuple(
        _target(
            Host(host.name, host.port or remote.relay_port, remote.relay_ssl),
            login,
            network.smtps_port,
            opportunistic=remote.opportunistic_tls,
            any_certificate=remote.relay_accept_any_certificate,
        )
        for host in remote.relay_hosts
    )
    return RelayTransport(hosts, network, smarthost=True, sender=remote.relay_mail_from, signs=signs)


def direct_hosts(direct: DirectDomain, remote: Remote, network: Network) -> RelayTransport:
    hosts = tuple(
        _target(
            replace(host, port=host.port or network.smtp_port),
            RelayLogin(host.user, host.password) if host.user else None,
            network.smtps_port,
            opportunistic=remote.opportunistic_tls,
            any_certificate=direct.accept_any_certificate,
        )
        for host in direct.hosts
    )
    return RelayTransport(hosts, network)


def _target(
    host: Host, login: RelayLogin | None, smtps_port: int, *, opportunistic: bool, any_certificate: bool
) -> Target:
    """Return the target of a host. A login requires TLS, verified unless the administrator accepts any certificate."""
    if host.ssl or login is not None:
        encryption = Encryption.REQUIRED if any_certificate else Encryption.VERIFIED
    else:
        encryption = Encryption.OFFERED if opportunistic else Encryption.NEVER
    implicit = encryption.required and host.port == smtps_port
    return Target(Peer(host.name, "", host.port), encryption, implicit, login)

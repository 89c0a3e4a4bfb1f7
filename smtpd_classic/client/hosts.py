"""Delivery to several hosts in turn: after a soft failure the next host is tried.

The number of addresses and of sessions is bounded.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain, zip_longest

from smtpd_classic.client.network import Network, Target
from smtpd_classic.client.remote import deliver_to
from smtpd_classic.client.transport import Action, DeliveryJob, HostBusy, Outcome, Peer, Settle
from smtpd_classic.dns import DnsFailure, NoSuchDomain
from smtpd_classic.runtime.hosts import HostMark
from smtpd_classic.smtp.reply import Reply

__all__ = ["Candidate", "addresses_of", "in_turn", "put_off"]

MOST_ADDRESSES = 5
MOST_SESSIONS = 2

Candidate = Target | Outcome
"""A host to try, or the reason for its absence."""


def put_off(enhanced: str, words: str) -> Outcome:
    """Return a deferral of any recipient in our own words; another host or transport may be tried."""
    return Outcome("", Action.DELAYED, Reply(451, enhanced, words), soft=True, unreachable=True)


def addresses_of(like: Target, network: Network) -> Iterator[Candidate]:
    """Yield the addresses of the host in `like`, each as a target of the same kind.

    The address families alternate, so that a host with broken IPv6 is reached by IPv4 within the bounds.
    """
    name = like.peer.name
    try:
        found = network.resolver.addresses(name)
    except (NoSuchDomain, DnsFailure) as problem:
        gone = isinstance(problem, NoSuchDomain)
        words = f"host {name} has no address" if gone else f"host {name} could not be looked up: {problem}"
        network.health.failed(like.peer, words, dead=False)
        yield put_off("4.4.4" if gone else "4.4.3", words)
        return
    if found != (name,):
        found = network.local.usable(found)
    if not found:
        yield put_off("4.4.4", f"host {name} has no address of an IP version in use (ip_versions)")
        return
    first = ":" in found[0]
    families = ([ip for ip in found if (":" in ip) is first], [ip for ip in found if (":" in ip) is not first])
    for ip in chain.from_iterable(zip_longest(*families)):
        if ip is not None:
            yield like._replace(peer=Peer(name, ip, like.peer.port))


@dataclass(slots=True)
class _Turn:
    """The outcomes of the recipients that are left."""

    settle: Settle
    left: dict[str, Outcome]
    begun: set[str] = field(default_factory=set)
    login_failed: bool = False
    sessions: int = 0
    tried: int = 0

    def take(self, outcomes: list[Outcome]) -> None:
        final = []
        for outcome in outcomes:
            if outcome.begun:
                self.begun.add(outcome.recipient)
            if outcome.soft:
                self._note(outcome)
            else:
                self.left.pop(outcome.recipient, None)
                final.append(self._whole(outcome))
        if final:
            self.settle(final)

    def note_all(self, outcome: Outcome) -> None:
        for recipient in self.left:
            self._note(outcome.of(recipient))

    def _note(self, outcome: Outcome) -> None:
        """Store the newest outcome; but a reply from the host takes precedence over our own text, such as that of a
        timeout.
        """
        self.login_failed = self.login_failed or outcome.login_failed
        before = self.left.get(outcome.recipient)
        if before is None or outcome.command or not before.command:
            self.left[outcome.recipient] = outcome
        if self.sessions:
            self.left[outcome.recipient] = self.left[outcome.recipient]._replace(unreachable=False)

    def finish(self) -> None:
        rest = [self._whole(outcome) for outcome in self.left.values()]
        if self.login_failed:  # the message waits for the password, and no other transport gets it
            rest = [outcome._replace(soft=False) for outcome in rest]
        if rest:
            self.settle(rest)

    def _whole(self, outcome: Outcome) -> Outcome:
        begun = outcome.recipient in self.begun
        return outcome if outcome.begun == begun else outcome._replace(begun=begun)


def in_turn(
    groups: Iterable[list[Candidate]], job: DeliveryJob, settle: Settle, network: Network, nobody: Outcome
) -> None:
    """Try the candidates, in groups of equal preference, and settle every recipient.

    `nobody` is the outcome if there is no candidate at all. Raises HostBusy while nothing has been sent.
    """
    turn = _Turn(settle, {recipient.address: nobody.of(recipient.address) for recipient in job.recipients})
    for candidate, others in _with_others(groups):
        if isinstance(candidate, Outcome):
            turn.note_all(candidate)
            continue
        mark = None if job.forced else network.health.dead(candidate.peer)
        if mark is not None:
            job.transcript.happened(f"not trying {candidate.peer}: {mark.reason}")
            turn.note_all(_remembered(candidate.peer, mark))
            continue
        if turn.tried == MOST_ADDRESSES:
            break
        turn.tried += 1
        beside = [each for each in others if network.health.dead(each.peer) is None][: MOST_ADDRESSES - turn.tried]
        _try(candidate, beside, job, turn, network)
        turn.tried += sum(network.health.dead(each.peer) is not None for each in beside)
        if not turn.left or turn.sessions == MOST_SESSIONS:
            break
    turn.finish()


def _with_others(groups: Iterable[list[Candidate]]) -> Iterator[tuple[Candidate, list[Target]]]:
    """Yield each candidate with the hosts of its group that come after it."""
    for group in groups:
        for number, candidate in enumerate(group, 1):
            yield candidate, [each for each in group[number:] if isinstance(each, Target)]


def _try(target: Target, beside: Iterable[Target], job: DeliveryJob, turn: _Turn, network: Network) -> None:
    reached: list[bool] = []

    def settle(outcomes: list[Outcome]) -> None:
        if not reached and not all(outcome.unreachable for outcome in outcomes):
            reached.append(True)
            turn.sessions += 1
        turn.take(outcomes)

    try:
        deliver_to(target, job.only(set(turn.left)), settle, network, beside)
    except HostBusy:
        if not turn.sessions:
            raise
        turn.note_all(put_off("4.4.5", f"as many connections to {target.peer} as are allowed are open"))


def _remembered(peer: Peer, mark: HostMark) -> Outcome:
    return put_off("4.4.1", f"{mark.reason} (delivery to {peer} is suspended for a while)")

"""The memory of greylisting: a bounded number of places for first tries, and for senders that have come back.

Rule 1: the digest of a client network chooses one of 2,048 sets, and each set has 32 places of both kinds. So no
stranger can fill the disk or the shared state.
Rule 2: if all places are taken, the network that has most of them loses its oldest one. A first try never takes the
place of a sender that has come back.
Rule 3: a network of which 16 senders have come back is known as a whole: it does try again.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import NamedTuple

from smtpd_classic.counters import CounterStore, Number

__all__ = ["Sender", "has_waited"]

_WAIT_S = 300.0
_KNOWN_S = 36 * 86_400.0
_RETRY_S = 2 * 86_400.0  # a sender that has not come back until then waits again
_SETS = 2048
_PLACES = 32
_MOST_KNOWN = 16
# So long a network keeps its first tries: if each of many took the place of another, none would come back in time.
_KEPT_S = 3600.0
_FIRST = tuple(f"first {number}" for number in range(_PLACES))
_PASSED = tuple(f"passed {number}" for number in range(_PLACES))
_NETWORK_BITS, _SENDER_BITS = 20, 32  # a number of the shared state is exact up to 53 bits


class Sender(NamedTuple):
    """A sender in the memory: the group of its set, and the number that stands for it in a place."""

    group: str
    number: int

    @classmethod
    def of(cls, network: str, sender: str, recipient: str) -> "Sender":
        """Return the sender for the addresses of an envelope and the network of the client."""
        client = _digest(network, 8)
        rest = _digest("\0".join((network, sender, recipient)).lower(), _SENDER_BITS // 8)
        tag = client // _SETS % (1 << _NETWORK_BITS)
        return cls(f"greylist {client % _SETS}", max(tag << _SENDER_BITS | rest, 1))

    @property
    def network(self) -> int:
        return _network(self.number)


def has_waited(store: CounterStore, sender: Sender, now: float, *, remember: bool) -> bool:
    """Return True if the sender has waited or is known. Remember this try with `remember`. Raises OSError."""
    found = store.numbers(sender.group, (*_FIRST, *_PASSED))
    own = [name for name in _PASSED if _network(found[name].value) == sender.network and found[name].value]
    first = _place_of(sender, _FIRST, found)
    passed = _place_of(sender, _PASSED, found)
    in_time = bool(first) and found[first].until - _RETRY_S <= now - _WAIT_S
    known = bool(passed) or in_time or len(own) >= _MOST_KNOWN
    if remember and known:
        oldest = min(own, key=lambda name: found[name].until) if len(own) >= _MOST_KNOWN else ""
        place = passed or oldest or _free_place(sender, _PASSED, found)
        store.put(sender.group, place, sender.number, _KNOWN_S)
        if first:
            store.forget(sender.group, [first])
    elif remember and not first:
        place = _free_place(sender, _FIRST, found, keep_until=now - _KEPT_S + _RETRY_S)
        if place:
            store.put(sender.group, place, sender.number, _RETRY_S)
    return known


def _place_of(sender: Sender, names: Sequence[str], found: Mapping[str, Number]) -> str:
    return next((name for name in names if found[name].value == sender.number), "")


def _free_place(
    sender: Sender, names: Sequence[str], found: Mapping[str, Number], keep_until: float = float("inf")
) -> str:
    """Return a place that is free or is made free. Return blank if the sender's own network would lose a number that
    ends after `keep_until`.
    """
    free = next((name for name in names if not found[name].value), "")
    if free:
        return free
    numbers = Counter(_network(found[name].value) for name in names)
    most = max(numbers.values())
    largest = [name for name in names if numbers[_network(found[name].value)] == most]
    oldest = min(largest, key=lambda name: found[name].until)
    is_own = _network(found[oldest].value) == sender.network
    return "" if is_own and found[oldest].until > keep_until else oldest


def _network(number: int) -> int:
    return number >> _SENDER_BITS


def _digest(text: str, size: int) -> int:
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=size).digest(), "big")

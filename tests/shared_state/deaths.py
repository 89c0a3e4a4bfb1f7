"""The death of a server of a site, whose queue another one takes over."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

from tests.crash import crash
from tests.dovecot_lmtp import MailStoreServer
from tests.instance import Instance
from tests.load import Load
from tests.waiting import until

__all__ = ["Outage", "arrived", "kill", "lose_the_first", "queue", "stop"]


class Outage(NamedTuple):
    """A time in which mail waits on the servers."""

    begin: Callable[[], object]
    end: Callable[[], object]


def queue(node: Instance) -> list[str]:
    return node.run("queue", "list", "--json").stdout.splitlines()


def arrived(store: MailStoreServer, address: str) -> Counter[str]:
    """How often each subject is in a mailbox."""
    return Counter(text.partition("Subject: ")[2].partition("\n")[0].strip() for text in store.mail(address))


def kill(node: Instance) -> None:
    crash(node.process)
    node.process = None


def stop(node: Instance) -> None:
    """Stop it, unless the test has killed it."""
    if node.process is not None:
        node.stop()


def lose_the_first(nodes: Sequence[Instance], load: Load, outage: Outage, *, waiting: int, more: int) -> str:
    """Kill the first server under load, while `waiting` messages wait on each. The second takes over its queue when
    `more` have come. Return its words."""
    one, two, *_ = nodes
    outage.begin()
    until(lambda: all(len(queue(node)) > waiting for node in nodes), 120, two.log)
    kill(one)
    goal = len(load.acknowledged) + more
    until(lambda: len(load.acknowledged) > goal, 120, two.log)
    adopted = two.run("queue", "adopt", str(one.folder / "spool"))
    assert adopted.returncode == 0, adopted.stderr
    outage.end()
    assert queue(one) == []
    return adopted.stdout + adopted.stderr

"""What the processes of one instance share while it runs: the run folder.

Everything here is for a hot path or for a screen: it is cheap, it works (and returns zero or nothing) when the
folder is missing because the daemon is down, and nothing that a session calls raises.
"""

import hmac
import os

from smtpd_classic.config.schema import Access
from smtpd_classic.runtime.blocks import Block, Blocks
from smtpd_classic.runtime.clients import client_key
from smtpd_classic.runtime.counters import COUNTED, Counters
from smtpd_classic.runtime.failures import BlockRule, Failures
from smtpd_classic.runtime.minutes import Minute
from smtpd_classic.runtime.neighbours import NeighbourState, NeighbourStates
from smtpd_classic.runtime.status import DaemonStatus, Listening, StatusFile, own_status
from smtpd_classic.runtime.wakes import Waker, Wakes

__all__ = [
    "COUNTED",
    "Block",
    "BlockRule",
    "Blocks",
    "Counters",
    "DaemonStatus",
    "Failures",
    "Listening",
    "Minute",
    "NeighbourState",
    "NeighbourStates",
    "Runtime",
    "StatusFile",
    "Wakes",
    "client_key",
    "own_status",
]


class Runtime:
    """`access` gives the rule for blocking; readers need none. Nothing is opened or made until it is used."""

    def __init__(self, folder: str, access: Access | None = None, key: bytes = b"") -> None:
        self.folder = folder
        self._key = key or os.urandom(32)
        self.blocks = Blocks(os.path.join(folder, "blocked"))
        self.failures = Failures(os.path.join(folder, "failures"), self.blocks, _rule(access), self._key)
        self.counters = Counters(os.path.join(folder, "counters"))
        self.status = StatusFile(os.path.join(folder, "status.json"))
        self.milters = NeighbourStates(os.path.join(folder, "milters"))
        self.lists = NeighbourStates(os.path.join(folder, "lists"))
        self.dovecot = NeighbourStates(os.path.join(folder, "dovecot"))
        self.shared_state = NeighbourStates(os.path.join(folder, "shared"))
        self._waker = Waker(os.path.join(folder, "wake"))

    def under(self, access: Access) -> "Runtime":
        """The same run folder, and the same counters, under the rules of another configuration."""
        other = Runtime(self.folder, access, self._key)
        other.counters = self.counters
        return other

    def secret(self, purpose: str) -> bytes:
        """Return 32 octets that the processes of this instance share in secret; others with each start."""
        return hmac.digest(self._key, purpose.encode(), "sha256")

    @property
    def submission_socket(self) -> str:
        """The socket for local submission."""
        return os.path.join(self.folder, "submit")

    def make(self, columns: int = 8) -> None:
        """Make the folder and start with fresh counters; blocks outlive a restart. For the supervisor.

        Raises OSError.
        """
        os.makedirs(self.folder, mode=0o755, exist_ok=True)
        os.makedirs(self.blocks.folder, mode=0o755, exist_ok=True)
        self.failures.forget()
        self.milters.forget()
        self.lists.forget()
        self.shared_state.forget()
        self.dovecot.forget()
        self.counters.make(columns)

    def wake(self, queue_id: str = "") -> bool:
        """Send `queue_id` to the retry thread; blank starts a scan. Never waits. Return True if there was a reader."""
        return self._waker.wake(queue_id)

    def wakes(self) -> Wakes:
        """The reading end of `wake`, for the retry thread. Raises OSError."""
        return Wakes(os.path.join(self.folder, "wake"))


def _rule(access: Access | None) -> BlockRule:
    if access is None:
        return BlockRule()
    return BlockRule(access.max_failures if access.auto_block else 0, access.failure_window, access.block_time)

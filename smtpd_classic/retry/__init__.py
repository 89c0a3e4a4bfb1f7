"""The queue manager: the way of a message from the spool to its last recipient.

The states of a message, and the module that makes each transition:

            scan, wake                 claim                job of each next hop
    new ───────────────► due ───────────────► claimed ───────────────► in delivery ──► done (removed)
                        ▲   │ no room                                      │
                time    │   ▼                                              ├──► deferred ──► waiting (time)
                        │  waiting (next hop is full or backs off)         │
                        └──────────────────────────────────────────────────┴──► held (by hand, or no one to notify)

    transition                 made by                       on disk at that moment
    new → due                  thread (wakes), due_times     the entry; no state file
    due → waiting (next hop)   scheduler, throttled          unchanged; only the id is kept in memory
    due → claimed              scheduler                     unchanged; the entry's file is locked
    claimed → in delivery      limits, delivery_threads      unchanged
    recipient delivered        attempt                       its state “delivered”, before anything else happens
    recipient failed           attempt, notices              the notice is in the spool, then its state “failed”
    in delivery → deferred     attempt                       attempts, outcomes and transcript; mtime = next attempt
    deferred → due             due_times                     unchanged
    in delivery → held         attempt, notices              the hold bit of the state file
    in delivery → done         attempt                       entry unlinked, then its state

A crash at any moment leaves one of these rows on disk, and the next scan makes the message due again.
"""

from smtpd_classic.retry.network import network_for
from smtpd_classic.retry.thread import RetryThread

__all__ = ["RetryThread", "network_for"]

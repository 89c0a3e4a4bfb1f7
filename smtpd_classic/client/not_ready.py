"""The exception for a session that could not be opened."""

from smtpd_classic.client.transport import Action, Outcome, Peer
from smtpd_classic.smtp.reply import Reply

__all__ = ["NotReady", "not_connected", "put_off", "refused"]


class NotReady(Exception):
    """Raised when there is no session.

    `outcome` is the outcome for every recipient. `dead`: the host could not be reached at all.
    """

    def __init__(self, outcome: Outcome, *, dead: bool = False) -> None:
        super().__init__(outcome.reply.text.replace("\n", " "))
        self.outcome = outcome
        self.dead = dead


def put_off(
    enhanced: str, words: str, *, soft: bool = True, dead: bool = False, login_failed: bool = False
) -> NotReady:
    """Return the exception for a deferral in our own words."""
    reply = Reply(451, enhanced, words)
    outcome = Outcome("", Action.DELAYED, reply, soft=soft, unreachable=True, login_failed=login_failed)
    return NotReady(outcome, dead=dead)


def not_connected(peer: Peer, words: str) -> NotReady:
    """Return the exception for a host to which there is no connection."""
    return put_off("4.4.1", f"connect to {peer}: {words}", dead=True)


def refused(reply: Reply, command: str, peer: Peer) -> NotReady:
    """Return the exception for a refusal in the host's words.

    A 5xx before MAIL is about this server and not about the message, so the message waits, and another host may be
    tried.
    """
    outcome = Outcome("", Action.DELAYED, reply, peer, command=command, soft=True, unreachable=True)
    return NotReady(outcome)

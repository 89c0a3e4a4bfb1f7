"""The limits of one session: errors, and commands that lead to no message."""

from typing import NamedTuple

from smtpd_classic.smtp import replies
from smtpd_classic.smtp.reply import Reply

__all__ = ["CommandLimits", "SessionLimits", "SessionOver"]

# Negative replies in one transaction that do not count as errors: those that follow from an earlier refusal, and
# recipients over the limit. The number is Postfix's.
_FORGIVEN = 1000


class SessionLimits(NamedTuple):
    """The limits of a session. Each counts since the last accepted message; 0 means no limit."""

    max_errors: int = 20
    max_commands: int = 100
    max_rset: int = 20


class SessionOver(Exception):
    """Raised to end the session with this reply, for this reason."""

    def __init__(self, reply: Reply, reason: str) -> None:
        super().__init__(reason)
        self.reply = reply
        self.reason = reason


class CommandLimits:
    """The counters of a session. `attacks` counts the commands of the whole session that only attackers send."""

    __slots__ = ("_commands", "_errors", "_forgiven", "_limits", "_resets", "after_refusal", "attacks")

    def __init__(self, limits: SessionLimits) -> None:
        self.attacks = 0
        self.after_refusal = False  # MAIL, or a recipient, was refused in this transaction
        self._limits = limits
        self._forgiven = 0
        self._errors = self._commands = self._resets = 0

    def message_accepted(self) -> None:
        self._errors = self._commands = self._resets = 0

    def transaction_asked_for(self) -> None:
        """Start a transaction at MAIL. Until MAIL is accepted, errors of later commands follow from its refusal."""
        self.after_refusal = True
        self._forgiven = 0

    def too_many_errors(self, reply: Reply, *, attack: bool = False, consequence: bool = False) -> bool:
        """Count a negative reply. Return True if the session has had too many."""
        self.attacks += attack
        if (consequence or reply.enhanced in {"4.5.3", "5.5.3"}) and self._forgiven < _FORGIVEN:
            self._forgiven += 1
            return False
        self._errors += 1
        return 0 < self._limits.max_errors < self._errors

    def count_command(self) -> None:
        """Count a command that does not advance a message. Raises SessionOver."""
        self._commands += 1
        if 0 < self._limits.max_commands < self._commands:
            raise SessionOver(replies.TOO_MANY_COMMANDS, "too many commands without a message")

    def count_reset(self) -> None:
        self._resets += 1
        if 0 < self._limits.max_rset < self._resets:
            raise SessionOver(replies.TOO_MANY_RESETS, "too many RSET commands")

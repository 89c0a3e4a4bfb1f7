"""The options of approval: managers decide about the mail of some senders."""

from datetime import timedelta

from smtpd_classic.config.frozen import frozen_dataclass
from smtpd_classic.config.kinds import BOOLEAN, MEMBERS, POSITIVE_DURATION, SENDER_PATTERNS, choice
from smtpd_classic.config.option import option, required

__all__ = ["Approval"]


@frozen_dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """The options of [approval NAME]."""

    name: str
    senders: tuple[str, ...] = required(
        SENDER_PATTERNS,
        "Senders",
        "The users with mail that needs approval: addresses, and domains such as *@example.org. The account of the "
        "login and the envelope sender count. Only mail that originates here waits for approval.",
    )
    scope: str = option(
        choice("outside", "inside", "both"),
        "outside",
        "Recipients",
        "The recipients that wait: those of other servers, those here, or both. All others get the message at once. "
        "A message that a filter or an administrator puts on hold waits for approval after its release.",
    )
    managers: tuple[str, ...] = required(
        MEMBERS,
        "Managers",
        "The addresses that get a notice of each message that waits, with the beginning of its text and the commands "
        "“smtpd-classic queue approve” and “queue refuse”. The Queue screen has the same actions.",
    )
    wait: timedelta = option(
        POSITIVE_DURATION,
        timedelta(days=5),
        "Longest wait",
        "How long a message waits for a decision. After this it is returned to its sender.",
    )
    by_mail: bool = option(
        BOOLEAN,
        False,
        "Approve by mail",
        "The notice names two addresses, approve+TOKEN@ and refuse+TOKEN@ the primary domain. A message to one of them "
        "decides, once, if a manager sends it after a login, or if DMARC confirms the manager by a DKIM signature. "
        "Automatic messages decide nothing.",
    )

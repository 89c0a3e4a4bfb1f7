"""The options of groups: addresses that stand for their members."""

from smtpd_classic.config.frozen import frozen_dataclass
from smtpd_classic.config.kinds import ADDRESS, MEMBERS, POSTERS, TEXT, choice
from smtpd_classic.config.option import option, required

__all__ = ["Group"]


@frozen_dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The options of [group ADDRESS]."""

    name: str
    members: tuple[str, ...] = required(
        MEMBERS,
        "Members",
        "The addresses that get a copy of each message to the group: accounts, aliases, other groups, or addresses "
        "elsewhere. An address that is reached in several ways gets one copy. The members of another group get the "
        "copy of this group, and its rules do not apply. A disabled account gets none. Junk reaches the junk folders "
        "of members here, and is held for the others.",
    )
    owner: str = required(
        ADDRESS,
        "Owner",
        "The address that is responsible for the group. It gets the bounces: the reverse-path of each copy is "
        "GROUP-bounces@DOMAIN, which leads to the owner. List-Unsubscribe names it. For its author a message is "
        "delivered when the group has it: notices that its author requests (RFC 3461) tell this, and none tells about "
        "a member.",
    )
    post: tuple[str, ...] = option(
        POSTERS,
        ("anyone",),
        "Who may write",
        "anyone; members: the members alone; domain: all addresses of the group's domain; or a list of addresses and "
        "domains (*@example.org). An author proves the address by a login or by a DMARC pass; others are refused "
        "(550 5.7.1), trusted hosts and programs of this machine too. Automatic messages (Auto-Submitted) are never "
        "passed on.",
    )
    subject_prefix: str = option(
        TEXT,
        "",
        "Subject prefix",
        "Text before the subject of each copy, such as [staff]. Only in mail that originates here and has an author "
        "of a local domain, because the change would break the signatures of others.",
    )
    reply_to: str = option(
        choice("sender", "group"),
        "sender",
        "Replies go to",
        "sender: the message stays as its author wrote it. group: Reply-To of each copy names the group; only in mail "
        "that originates here and has an author of a local domain.",
    )

"""The options of filter rules: a field, a text, and the action for messages that match."""

from smtpd_classic.config.frozen import frozen_dataclass
from smtpd_classic.config.kinds import RULE_ACTION, RULE_FIELD, TEXT, RuleAction, choice
from smtpd_classic.config.option import option, required

__all__ = ["FilterRule"]


@frozen_dataclass(frozen=True, slots=True, kw_only=True)
class FilterRule:
    """The options of [filter-rule NAME]."""

    name: str
    field: str = required(
        RULE_FIELD,
        "Field",
        "The part of a message to compare. from, subject and header NAME: that header field. to: To and Cc. sender and "
        "recipient: the addresses of the envelope; the null sender of bounces matches no rule about the sender. "
        "attachment: the names of attached files, also inside winmail.dat and zip files, and of uuencoded files within "
        "the text. client: the address of the client. size: the size of the message.",
    )
    match: str = option(
        choice("is", "contains", "starts", "ends", "wildcard", "over", "under"),
        "contains",
        "Match",
        "How to compare the text: in wildcard, * stands for any text and ? for one character. Fields are decoded and "
        "unfolded, and the case of letters does not matter. An address in From, To or Cc is also compared alone. over "
        "and under are for the size; a client is always compared with networks.",
    )
    text: str = required(
        TEXT,
        "Text",
        "The text to find. For client: addresses and networks, such as 192.0.2.0/24, 2001:db8::/32. For size: a size "
        "such as 5M.",
    )
    direction: str = option(
        choice("in", "out", "both"),
        "in",
        "Direction",
        "in: mail of clients that are neither logged in, trusted nor local. out: mail of users, trusted hosts and "
        "local programs. both: all of it.",
    )
    action: RuleAction = required(
        RULE_ACTION,
        "Action",
        "junk: put it into the junk folder. refuse: refuse it (550). hold: put it into the quarantine. redirect "
        "ADDRESS: send it to this address instead; a rule about recipients redirects those that it matches, any other "
        "rule all of them. A recipient is redirected once, by the first rule that does so, and keeps the message if "
        "the address gets no mail here. copy ADDRESS: also send it to this address; its sender gets no notice about "
        "the copy. header NAME: TEXT: add this field. "
        "accept: end the list of rules; blocklists and milters then cannot put the message into the junk folder, and "
        "greylisting does not defer it if the rule is about the client, the sender or the recipient. It does not "
        "cancel a refusal, also one for a while (4xx) of a milter, or the result of DMARC.",
    )

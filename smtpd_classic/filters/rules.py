"""Filter rules made ready for comparison. They know no session and no transaction."""

import ipaddress
import re
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from smtpd_classic.config.kinds import Network, RuleAction, client_networks, size_bound
from smtpd_classic.config.schema import FilterRule
from smtpd_classic.domain_name import spellings
from smtpd_classic.filters.attachments import AttachmentNames, saved_names
from smtpd_classic.filters.matching import TextMatch, comparable, shown_text, text_match
from smtpd_classic.message.headers import HeaderBlock, end_of_header_block

__all__ = ["ENVELOPE", "MessageView", "PreparedRule", "message_view", "prepared_rules", "rules_met"]

ENVELOPE = frozenset({"sender", "recipient", "client"})
_MOST_VALUES = 1000  # of one name; a header has room for 50,000
_MOST_SPELLED = 50  # addresses of one field: a hostile one takes several milliseconds
_LONGEST_DOMAIN = 255
_OTHER_TEXTS = ENVELOPE | {"attachment"}
_CHANGES = frozenset({"hold", "redirect", "copy", "header"})
# A match begins behind a delimiter and gives nothing back, so that a long word without an @ is read once.
_ADDRESS = re.compile(r"(?<![^\s<>,;:\"()\[\]\\@])[^\s<>,;:\"()\[\]\\@]++@[^\s<>,;:\"()\\]++")
_FIELDS = {"from": ("from",), "to": ("to", "cc"), "subject": ("subject",)}


class MessageView(NamedTuple):
    """A message as rules see it. `recipients` has the names of each accepted recipient."""

    client: str
    sender: str
    recipients: tuple[tuple[str, ...], ...] = ()
    header: HeaderBlock | None = None
    attachments: tuple[str, ...] = ()
    size: int = 0


class PreparedRule(NamedTuple):
    """One rule. `matches` compares a text in its comparable form; `networks` and `bound` are for client and size."""

    name: str
    field: str
    direction: str
    action: RuleAction
    matches: TextMatch
    networks: tuple[Network, ...] = ()
    bound: tuple[str, int] = ("over", 0)

    @property
    def changes_message(self) -> bool:
        return self.action.word in _CHANGES

    def is_for(self, *, originates_here: bool) -> bool:
        return self.direction in {"both", "out" if originates_here else "in"}

    def is_met(self, message: MessageView) -> bool:
        """Return True if the message matches; a part that is not known yet matches nothing."""
        if self.field == "client":
            return self._holds(message.client)
        if self.field == "size":
            word, size = self.bound
            return message.size > size if word == "over" else message.size < size
        if self.field in _OTHER_TEXTS:
            return any(map(self.matches, self._texts(message)))
        return message.header is not None and any(map(self.matches, _header_texts(message.header, self.field)))

    def is_met_by(self, recipient: Iterable[str]) -> bool:
        """Return True if a rule about recipients matches this one."""
        return any(self.matches(each) for name in recipient for each in _address_texts(name))

    def _holds(self, ip: str) -> bool:
        address = _address_of(ip)
        return address is not None and any(
            address.version == each.version and address in each for each in self.networks
        )

    def _texts(self, message: MessageView) -> Iterable[str]:
        """Return the texts to compare, in their comparable form."""
        if self.field == "sender":
            return _address_texts(message.sender) if message.sender else ()
        if self.field == "recipient":
            return [each for names in message.recipients for name in names for each in _address_texts(name)]
        return [comparable(name) for each in message.attachments for name in saved_names(each)]


@lru_cache(4096)
def _address_of(ip: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return the address of a client, an IPv4-mapped one as IPv4; a program of this machine has none."""
    try:
        address = ipaddress.ip_address(ip.partition("%")[0])
    except ValueError:
        return None
    return (address.version == 6 and address.ipv4_mapped) or address


@lru_cache(maxsize=8)  # many rules are about one field of one message
def _header_texts(header: HeaderBlock, field: str) -> tuple[str, ...]:
    """Return the values of a field in their comparable form, with the addresses alone too."""
    names = _FIELDS.get(field) or (field.partition(" ")[2].lower(),)
    values = [value for name in names for value in header.values(name.encode())[:_MOST_VALUES]]
    texts = [comparable(shown_text(value)) for value in values]
    if field in {"from", "to"}:
        found = [address for value in values for address in _ADDRESS.findall(value.decode("utf-8", "replace"))]
        texts += map(comparable, found)
        foreign = [each for each in found if not each.isascii() or "xn--" in each.lower()]
        texts += [text for each in foreign[:_MOST_SPELLED] for text in _address_texts(each)]
    return tuple(texts)


def _address_texts(address: str) -> tuple[str, ...]:
    """Return an address in its comparable form, with each spelling of its domain: a rule has one of them."""
    local, at, domain = address.rpartition("@")
    if not at or len(domain) > _LONGEST_DOMAIN:
        return (comparable(address),)
    return tuple(comparable(f"{local}@{each}") for each in spellings(domain))


def _nothing(text: str) -> bool:
    return False


def prepared_rules(rules: Iterable[FilterRule]) -> tuple[PreparedRule, ...]:
    """Return the rules in order."""
    return tuple(map(_prepared, rules))


def _prepared(rule: FilterRule) -> PreparedRule:
    found = PreparedRule(rule.name, rule.field, rule.direction, rule.action, _nothing)
    if rule.field == "client":
        return found._replace(networks=client_networks(rule.text))
    if rule.field == "size":
        return found._replace(bound=size_bound(rule.match, rule.text))
    return found._replace(matches=text_match(rule.match, rule.text))


def message_view(content: bytes, client: str, sender: str, recipients: Iterable[str]) -> MessageView:
    """Return a whole message as rules see it."""
    content = content.replace(b"\r\n", b"\n")
    end = end_of_header_block(content)
    raw, body = (content, b"") if end < 0 else (content[:end], content[end + 1 :])
    files = AttachmentNames(raw)
    files.take(body)
    names = tuple((each,) for each in recipients)
    size = len(content) + content.count(b"\n")
    return MessageView(client, sender, names, HeaderBlock(raw), tuple(files.finish()), size)


def rules_met(
    rules: Iterable[PreparedRule], message: MessageView, *, originates_here: bool
) -> tuple[PreparedRule, ...]:
    """Return the rules that a message meets, in order, up to one that ends the list."""
    found: list[PreparedRule] = []
    for rule in rules:
        if rule.is_for(originates_here=originates_here) and rule.is_met(message):
            found.append(rule)
            if rule.action.word in {"accept", "refuse"}:
                break
    return tuple(found)

"""Filter rules and patterns that by accident are about all mail: each is compared with values that have little in
common."""

from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase

from smtpd_classic.config.check_domains import local_domains
from smtpd_classic.config.kinds import Network, client_networks, size_bound
from smtpd_classic.config.open_relay import holds_most_addresses, widest
from smtpd_classic.config.problem import Finding
from smtpd_classic.config.rule import Rule
from smtpd_classic.config.schema import Config, FilterRule

__all__ = ["RULES"]

_LARGEST_SENSIBLE = 1024**4
_SMALLEST_MESSAGE = 200
_NAMES = ("a", "efg")
_ADDRESSES = ("a@b.cd", "efg@hij.klm")
_ADDRESS_FIELDS = frozenset({"from", "to", "sender", "recipient"})
_ADDRESS_HEADERS = frozenset({"header from", "header to", "header cc", "header sender", "header reply-to"})
_FILES = ("a.bc", "def.ghi")
_TEXTS = ("a b", "cd ef")
_LARGE_PROVIDERS = ("gmail.com", "outlook.com", "yahoo.com", "icloud.com")
_THEIR_HOSTS = (
    "mail-ej1-f41.google.com",
    "eur05-am6-obe.outbound.protection.outlook.com",
    "sonic310-21.consmr.mail.gq1.yahoo.com",
    "qs51p00im-qukt01072501.me.com",
)
_LEAST_LIMIT = 64 * 1024
_DEALS_WITH = frozenset({"junk", "refuse", "hold", "redirect"})


def filter_rules_do_not_match_everything(config: Config) -> Iterator[Finding]:
    """Warn about rules for every message, and about rules for a whole local domain."""
    for each in config.filter_rules:
        title = f"filter-rule {each.name}"
        reason = _matches_everything(each, config)
        if reason:
            said = f"the rule {each.name} matches everything: {reason}; its action, {each.action}, is for all mail."
            yield Finding(title, "text", said, "warning")
            continue
        domain = _whole_domain(each, config)
        if domain:
            said = f"the rule {each.name} matches every address of {domain}; its action is {each.action}."
            yield Finding(title, "text", said, "warning")


def _matches_everything(rule: FilterRule, config: Config) -> str:
    """Return the reason, or blank. A rule that cannot be used is reported by another rule."""
    try:
        if rule.field == "client":
            networks = client_networks(rule.text)
            return f"{widest(networks)} holds every address" if _hold_everything(networks) else ""
        if rule.field == "size":
            word, size = size_bound(rule.match, rule.text)
            return f"every message is {word} {rule.text}" if _is_any_size(word, size, config) else ""
    except ValueError:
        return ""
    if not all(_meets(rule, value) for value in _samples(rule.field)):
        return ""
    if rule.match == "wildcard":
        return "the wildcard stands for any text"
    return f"“{rule.text}” is in every such text"


def _samples(field: str) -> tuple[str, ...]:
    if field in _ADDRESS_FIELDS or field.lower() in _ADDRESS_HEADERS:
        return _ADDRESSES
    return _FILES if field == "attachment" else _TEXTS


def _hold_everything(networks: Iterable[Network]) -> bool:
    networks = tuple(networks)
    return any(each.prefixlen == 0 for each in networks) or holds_most_addresses(networks)


def _is_any_size(word: str, size: int, config: Config) -> bool:
    if word == "over":
        return size <= _SMALLEST_MESSAGE
    return size >= min(config.basic.max_message_size or _LARGEST_SENSIBLE, _LARGEST_SENSIBLE)


def _meets(rule: FilterRule, value: str) -> bool:
    wanted = " ".join(rule.text.casefold().split())
    match rule.match:
        case "is":
            return value == wanted
        case "starts":
            return value.startswith(wanted)
        case "ends":
            return value.endswith(wanted)
        case "wildcard":
            return _matches(wanted, value)
    return wanted in value


def _whole_domain(rule: FilterRule, config: Config) -> str:
    """Return a local domain with which the rule deals as a whole: as recipients, or as our own senders; or blank."""
    about_ours = {"recipient", "to"} if rule.direction == "in" else {"sender", "from"}
    if rule.action.word not in _DEALS_WITH or (rule.direction != "both" and rule.field not in about_ours):
        return ""
    if rule.field not in _ADDRESS_FIELDS:
        return ""
    for domain in sorted(local_domains(config)):
        if all(_meets(rule, f"{name}@{domain}") for name in _NAMES):
            return domain
    return ""


def patterns_spare_the_large_providers(config: Config) -> Iterator[Finding]:
    """Warn about a pattern that matches two large providers, as `.com` does."""
    options = config.filter
    for option, patterns, names in (
        ("refuse_senders", options.refuse_senders, _LARGE_PROVIDERS),
        ("refuse_hellos", options.refuse_hellos, _THEIR_HOSTS),
    ):
        for pattern in patterns:
            found = [name for name in names if _is_of(pattern, name)]
            if len(found) > 1:
                said = f"“{pattern}” in {option} refuses much legitimate mail: that of {found[0]} and {found[1]} too."
                yield Finding("filter", option, said, "warning")


def _is_of(pattern: str, domain: str) -> bool:
    """Return True if the pattern is for every address of the domain."""
    local, at, name = pattern.rpartition("@")
    if at and local.strip("*"):
        return False
    return _matches(f"*{name}" if not at and name.startswith(".") else name, domain)


def _matches(pattern: str, text: str) -> bool:
    return fnmatchcase(text, pattern.replace("[", "[[]"))


def messages_of_the_usual_size_are_accepted(config: Config) -> Iterator[Finding]:
    """Warn about limits under 64K octets (RFC 5321 4.5.3.1.7): a number without its M is a number of octets."""
    for option in ("max_message_size", "max_incoming_size", "max_outgoing_size"):
        size = getattr(config.basic, option)
        if 0 < size < _LEAST_LIMIT:
            said = f"{option} refuses ordinary mail: {size} octets are less than the 64K that RFC 5321 demands."
            yield Finding("basic", option, said, "warning")


RULES: tuple[Rule, ...] = (
    filter_rules_do_not_match_everything,
    patterns_spare_the_large_providers,
    messages_of_the_usual_size_are_accepted,
)

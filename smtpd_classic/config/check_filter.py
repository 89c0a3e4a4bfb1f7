"""Rules about the SMTP Filter: filter rules that cannot be used, or that match every message."""

from collections.abc import Iterator

from smtpd_classic.config.kinds import client_networks, size_bound
from smtpd_classic.config.problem import Finding
from smtpd_classic.config.schema import Config, FilterRule

__all__ = ["RULES"]

_LARGEST_SENSIBLE = 1024**4


def filter_rules_can_be_used(config: Config) -> Iterator[Finding]:
    """A rule about the client needs networks, one about the size needs a size; only that one has over and under."""
    for each in config.filter_rules:
        title = f"filter-rule {each.name}"
        try:
            if each.field == "client":
                client_networks(each.text)
            elif each.field == "size":
                size_bound(each.match, each.text)
        except ValueError as problem:
            yield Finding(title, "text", f"the rule {each.name}: {problem}")
        if each.match in {"over", "under"} and each.field != "size":
            yield Finding(title, "match", f"the rule {each.name}: {each.match} is for the field size alone.")


def filter_rules_do_not_match_everything(config: Config) -> Iterator[Finding]:
    for each in config.filter_rules:
        reason = _matches_everything(each)
        if reason:
            said = f"the rule {each.name} matches everything: {reason}; its action, {each.action}, is for all mail."
            yield Finding(f"filter-rule {each.name}", "text", said, "warning")


def _matches_everything(rule: FilterRule) -> str:
    """Return the reason, or blank. A rule that cannot be used is reported by another rule."""
    try:
        if rule.field == "client":
            wide = next((each for each in client_networks(rule.text) if each.prefixlen == 0), None)
            return "" if wide is None else f"{wide} holds every address"
        if rule.field == "size":
            word, size = size_bound(rule.match, rule.text)
            is_wide = size == 0 if word == "over" else size >= _LARGEST_SENSIBLE
            return f"every message is {word} {rule.text}" if is_wide else ""
    except ValueError:
        return ""
    is_wide = rule.match == "wildcard" and not rule.text.strip().strip("*")
    return "the wildcard stands for any text" if is_wide else ""


RULES = (filter_rules_can_be_used, filter_rules_do_not_match_everything)

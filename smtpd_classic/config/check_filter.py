"""Rules about the SMTP Filter: filter rules that cannot be used."""

from collections.abc import Iterator

from smtpd_classic.config.kinds import client_networks, size_bound
from smtpd_classic.config.problem import Finding
from smtpd_classic.config.rule import Rule
from smtpd_classic.config.schema import Config

__all__ = ["RULES"]


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


RULES: tuple[Rule, ...] = (filter_rules_can_be_used,)

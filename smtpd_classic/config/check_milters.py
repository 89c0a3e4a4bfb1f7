"""Rules about milters."""

from collections.abc import Iterator

from smtpd_classic.config.kinds import DURATION
from smtpd_classic.config.problem import Finding
from smtpd_classic.config.rule import Rule
from smtpd_classic.config.schema import Config

__all__ = ["RULES"]


def copies_are_not_changed_after_a_signature(config: Config) -> Iterator[Finding]:
    """A milter for outgoing mail may sign; replaced addresses and converted attachments break the signature."""
    changes = [
        name for name, on in (("[replace]", config.replacements), ("convert_tnef", config.basic.convert_tnef)) if on
    ]
    for each in config.milters:
        if changes and each.for_ in {"outgoing", "both"}:
            said = (
                f"if the milter {each.name} signs messages, {' and '.join(changes)} may change the copy afterwards "
                "and break the signature; let this server sign ([signing])."
            )
            yield Finding(f"milter {each.name}", "for", said, "warning")


def one_milter_is_asked_once(config: Config) -> Iterator[Finding]:
    seen: dict[str, str] = {}
    for each in config.milters:
        first = seen.setdefault(each.address, each.name)
        if first != each.name:
            said = f"the milters {first} and {each.name} have the same address; messages are shown to it twice."
            yield Finding(f"milter {each.name}", "address", said, "warning")


def the_deadline_leaves_time(config: Config) -> Iterator[Finding]:
    deadline = config.milter.filter_deadline
    for each in config.milters:
        if each.content_timeout > deadline:
            said = f"content_timeout has no effect: filter_deadline ({DURATION.format(deadline)}) is shorter."
            yield Finding(f"milter {each.name}", "content_timeout", said, "warning")


RULES: tuple[Rule, ...] = (copies_are_not_changed_after_a_signature, one_milter_is_asked_once, the_deadline_leaves_time)

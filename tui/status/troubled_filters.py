"""The milters that are down and the DNS lists that are not used, as the running server saw them last."""

from collections.abc import Iterator
from typing import NamedTuple

from smtpd_classic.config import Config
from smtpd_classic.runtime import Runtime
from tui.widgets.text import clean, day_and_clock

__all__ = ["TroubledFilter", "troubled_filters"]

_ACTIONS = {"defer": "messages are deferred", "accept": "messages pass without it", "refuse": "messages are refused"}


class TroubledFilter(NamedTuple):
    """One line: the kind, which is the label, the words, and True if mail is not accepted because of it."""

    kind: str
    words: str
    stops_mail: bool


def troubled_filters(config: Config | None, runtime: Runtime, now: float) -> Iterator[TroubledFilter]:
    if config is None:
        return
    for each in config.milters:
        state = runtime.milters.read(each.name)
        if state is not None and state.is_down:
            since, reason = day_and_clock(state.since, now), clean(state.reason, 300)
            words = f"{each.name} is down since {since}, {_ACTIONS[each.when_down]}: {reason}"
            yield TroubledFilter("Milter", words, each.when_down != "accept")
    for zone in dict.fromkeys(each.zone for each in (*config.filter.blocklists, *config.filter.allowlists)):
        state = runtime.lists.read(zone)
        if state is not None and state.is_down:
            yield TroubledFilter("DNS list", f"{zone} is not used: {clean(state.reason, 300)}", stops_mail=False)

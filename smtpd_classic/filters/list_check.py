"""The test of all DNS lists of a configuration, for the check, the doctor and the screens."""

import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from smtpd_classic.config.kinds import DnsList
from smtpd_classic.config.problem import Problem
from smtpd_classic.config.schema import Config
from smtpd_classic.dns import Resolver
from smtpd_classic.filters.dns_lists import list_problem
from smtpd_classic.filters.resolvers import name_servers, public_resolver_problem

__all__ = ["TestedList", "list_warnings", "tested_lists"]

_AT_ONCE = 16
_LATE = "DNS did not answer in time"
_CHECK_S = 2.0  # a check stands before a change: it must not wait long for a dead name server


class TestedList(NamedTuple):
    """A list, the option that names it, and its problem or blank."""

    option: str
    zone: str
    problem: str


def tested_lists(config: Config, records: Resolver, servers: Iterable[str], within_s: float) -> tuple[TestedList, ...]:
    """Test the lists through these name servers, several at once, because one that does not answer takes seconds.

    The lists that have not answered after `within_s` are faulty.
    """
    options = config.filter
    deadline = time.monotonic() + within_s
    not_allowed = public_resolver_problem(servers)
    asked = [("blocklists", each) for each in options.blocklists]
    asked += [("allowlists", each) for each in options.allowlists]

    def tested(one: tuple[str, DnsList]) -> TestedList:
        option, each = one
        if option == "allowlists" and not_allowed:
            return TestedList(option, each.zone, not_allowed)
        problem = list_problem(records, each, deadline - time.monotonic())
        return TestedList(option, each.zone, _LATE if problem and time.monotonic() >= deadline else problem)

    if not asked:
        return ()
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return tuple(pool.map(tested, asked))


def list_warnings(config: Config, records: Resolver) -> Iterator[Problem]:
    """Yield a warning for each list that is not used, with the line of its option. This takes two seconds at most."""
    found = tested_lists(config, records, name_servers(config), _CHECK_S)
    late = [each for each in found if each.problem == _LATE]
    if late:
        zones = ", ".join(each.zone for each in late)
        said = f"DNS could not be asked within {_CHECK_S:.0f} seconds; these lists are not tested: {zones}."
        yield Problem(config.path, config.line("filter", late[0].option), said, "warning")
    for each in found:
        if each.problem and each.problem != _LATE:
            said = f"the list {each.zone} is not used: {each.problem}."
            yield Problem(config.path, config.line("filter", each.option), said, "warning")
